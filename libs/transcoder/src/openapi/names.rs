//! What operations, tags and schemas are called: by the short name, and longer only where two would have the same.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};

use super::schema::{is_well_known, shown_fields};
use super::{BodyShape, Info, Shown, body_of};
use crate::Route;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    /// To the server.
    Request,
    /// From it.
    Answer,
}

/// All names of a document.
#[derive(Debug)]
pub(super) struct Names {
    tags: HashMap<String, String>,
    operations: HashMap<String, String>,
    types: HashMap<String, String>,
    uses: BTreeMap<(String, Side), BTreeSet<BTreeSet<String>>>,
}

impl Names {
    /// Looks at everything that the routes reach.
    pub(super) fn of(routes: &[Route], info: &Info<'_>) -> Self {
        let mut reached = Reached::default();
        for route in routes {
            match body_of(route) {
                Some(BodyShape::Message(shown)) => reached.message(&shown, Side::Request, info),
                Some(BodyShape::Field(field)) => reached.kind(&field.kind(), Side::Request, info),
                None => {}
            }
            for field in route.descriptor().input().fields() {
                reached.parameter(&field.kind(), info, 0);
            }
            reached.message(&Shown::whole(route.answer_message()), Side::Answer, info);
        }
        let services = routes.iter().map(|route| {
            let service = route.descriptor().parent_service();
            (
                service.full_name().to_owned(),
                short_service(service.name()),
            )
        });
        let tags = told_apart(services, " ");
        let methods = routes.iter().map(|route| {
            let method = route.descriptor();
            (method.full_name().to_owned(), method.name().to_owned())
        });
        let methods: HashMap<String, String> = methods.collect();
        let operations = operations(&methods, routes, &tags);
        Self {
            tags,
            operations,
            types: told_apart(reached.types.into_iter(), ""),
            uses: reached.uses,
        }
    }

    /// The tag of a service.
    pub(super) fn tag<'a>(&'a self, service: &'a str) -> &'a str {
        self.tags.get(service).map_or(service, String::as_str)
    }

    /// The id of a method's operation. Further bindings count from 2.
    pub(super) fn operation(&self, method: &str, binding: usize) -> String {
        let name = self.operations.get(method).map_or(method, String::as_str);
        match binding {
            0 => name.to_owned(),
            _ => format!("{name}{}", binding + 1),
        }
    }

    /// The schema of an enumeration.
    pub(super) fn of_type<'a>(&'a self, full_name: &'a str) -> &'a str {
        self.types.get(full_name).map_or(full_name, String::as_str)
    }

    /// The schema of a message on one side.
    pub(super) fn of_message(&self, shown: &Shown, side: Side) -> String {
        let full_name = shown.message.full_name().to_owned();
        let mut name = self.of_type(&full_name).to_owned();
        let is_answered = self.uses.contains_key(&(full_name.clone(), Side::Answer));
        if side == Side::Request && is_answered {
            name.push_str("Input");
        }
        let shapes = self.uses.get(&(full_name, side));
        if !shown.omitted.is_empty() && shapes.is_some_and(|shapes| shapes.len() > 1) {
            let omitted: Vec<String> = shown.omitted.iter().map(|name| camel(name)).collect();
            name.push_str(&format!("Without{}", omitted.join("And")));
        }
        name
    }
}

/// The messages and enumerations that routes need.
#[derive(Default)]
struct Reached {
    /// Full name to short name.
    types: HashMap<String, String>,
    uses: BTreeMap<(String, Side), BTreeSet<BTreeSet<String>>>,
}

impl Reached {
    fn message(&mut self, shown: &Shown, side: Side, info: &Info<'_>) {
        let message = &shown.message;
        if is_well_known(message.full_name()) {
            return;
        }
        let name = local_name(message.full_name(), message.package_name());
        self.types.insert(message.full_name().to_owned(), name);
        let uses = self.uses.entry((message.full_name().to_owned(), side));
        if !uses.or_default().insert(shown.omitted.clone()) {
            return;
        }
        for field in shown_fields(shown, side, info) {
            self.kind(&field.kind(), side, info);
        }
    }

    fn kind(&mut self, kind: &Kind, side: Side, info: &Info<'_>) {
        match kind {
            // Of a map this is the entry, whose fields are key and value.
            Kind::Message(message) if message.is_map_entry() => {
                self.kind(&message.map_entry_value_field().kind(), side, info);
            }
            Kind::Message(message) => {
                self.message(&Shown::whole(message.clone()), side, info);
            }
            Kind::Enum(kind) => {
                let name = local_name(kind.full_name(), kind.package_name());
                self.types.insert(kind.full_name().to_owned(), name);
            }
            _ => {}
        }
    }

    /// Queries reach into messages; what has a schema of its own there is enumerations.
    fn parameter(&mut self, kind: &Kind, info: &Info<'_>, depth: usize) {
        match kind {
            Kind::Enum(_) => self.kind(kind, Side::Request, info),
            Kind::Message(message) if depth < super::operation::DEEPEST => {
                for field in message.fields() {
                    self.parameter(&field.kind(), info, depth + 1);
                }
            }
            _ => {}
        }
    }
}

impl Shown {
    /// A message with all of its fields.
    pub(super) fn whole(message: MessageDescriptor) -> Self {
        Self {
            message,
            omitted: BTreeSet::new(),
        }
    }
}

impl Route {
    /// The message that an answer holds: the whole one, or the field that is the answer.
    pub(super) fn answer_message(&self) -> MessageDescriptor {
        let field = self.response_field();
        let message = field.and_then(|field| field.kind().as_message().cloned());
        message.unwrap_or_else(|| self.descriptor().output())
    }
}

/// Ids by full names of methods: the method's name, with its tag in front where others have it as well.
fn operations(
    methods: &HashMap<String, String>,
    routes: &[Route],
    tags: &HashMap<String, String>,
) -> HashMap<String, String> {
    let mut seen = HashSet::new();
    let twice: HashSet<&String> = methods
        .values()
        .filter(|name| !seen.insert(*name))
        .collect();
    let id = |method: &MethodDescriptor| {
        let name = method.name().to_owned();
        if !twice.contains(&name) {
            return lower_first(&name);
        }
        let tag = tags.get(method.parent_service().full_name());
        let tag = tag.map_or(String::new(), |tag| tag.replace(' ', ""));
        lower_first(&format!("{tag}{name}"))
    };
    let ids = routes.iter().map(|route| {
        let method = route.descriptor();
        (method.full_name().to_owned(), id(method))
    });
    ids.collect()
}

/// Short names by full names; where two are equal the package goes in front.
fn told_apart(
    names: impl Iterator<Item = (String, String)>,
    between: &str,
) -> HashMap<String, String> {
    let names: HashMap<String, String> = names.collect();
    let mut seen = HashSet::new();
    let twice: HashSet<String> = names
        .values()
        .filter(|name| !seen.insert(*name))
        .cloned()
        .collect();
    let told = names.into_iter().map(|(full_name, name)| {
        let name = if twice.contains(&name) {
            format!("{}{between}{name}", package_word(&full_name))
        } else {
            name
        };
        (full_name, name)
    });
    told.collect()
}

/// `VideoStatus` of `kinora.scheduler.v1.Video.Status`.
fn local_name(full_name: &str, package: &str) -> String {
    let local = full_name.strip_prefix(package).unwrap_or(full_name);
    local.split('.').collect()
}

/// `Scheduler` of `kinora.scheduler.v1.Video`: the last part of the package that is no version.
fn package_word(full_name: &str) -> String {
    let is_version = |part: &&str| {
        let digits = part.strip_prefix('v').unwrap_or_default();
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
    };
    let parts = full_name.split('.').take_while(|part| !is_version(part));
    let packages = parts.filter(|part| part.starts_with(char::is_lowercase));
    packages.last().map_or(String::new(), camel)
}

fn short_service(name: &str) -> String {
    name.strip_suffix("Service").unwrap_or(name).to_owned()
}

/// `RemixOf` of `remix_of`.
pub(super) fn camel(name: &str) -> String {
    let words = name.split(['_', '.']);
    words.map(upper_first).collect()
}

fn upper_first(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn lower_first(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// `List API keys`-like words of `ListApiKeys`: what an operation is called when nobody has said what it does.
pub(super) fn in_words(name: &str) -> String {
    let mut words = String::new();
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            words.push(' ');
        }
        words.push(if at > 0 { c.to_ascii_lowercase() } else { c });
    }
    words
}
