//! The contracts, as far as routes reach.

use std::collections::BTreeSet;

use kinora_transcoder::Transcoder;
use prost_reflect::{EnumDescriptor, Kind, MessageDescriptor};
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// The methods with a route, and the messages that they need, in the files that have any of them.
///
/// Options that are extensions are not there: prost's types do not keep them, nor are they the callers' concern.
pub(super) fn files(routes: &Transcoder) -> FileDescriptorSet {
    let reach = Reach::of(routes);
    let pool = routes
        .routes()
        .first()
        .map(|route| route.descriptor().parent_pool().clone());
    let whole = pool
        .iter()
        .flat_map(prost_reflect::DescriptorPool::file_descriptor_protos);
    let mut files: Vec<FileDescriptorProto> =
        whole.filter_map(|file| reach.part_of(file)).collect();
    let names: BTreeSet<String> = files.iter().map(|file| file.name().to_owned()).collect();
    for file in &mut files {
        file.dependency.retain(|name| names.contains(name));
    }
    FileDescriptorSet { file: files }
}

/// Full names of what routes need.
#[derive(Default)]
struct Reach {
    methods: BTreeSet<String>,
    /// Messages and enums that are in no other message. What is inside goes with them.
    types: BTreeSet<String>,
}

impl Reach {
    fn of(routes: &Transcoder) -> Self {
        let mut reach = Self::default();
        for route in routes.routes() {
            let method = route.descriptor();
            reach.methods.insert(method.full_name().to_owned());
            reach.add_message(&method.input());
            reach.add_message(&method.output());
        }
        reach
    }

    fn add_message(&mut self, message: &MessageDescriptor) {
        let mut outermost = message.clone();
        while let Some(parent) = outermost.parent_message() {
            outermost = parent;
        }
        if self.types.insert(outermost.full_name().to_owned()) {
            self.add_inside(&outermost);
        }
    }

    fn add_inside(&mut self, message: &MessageDescriptor) {
        for field in message.fields() {
            match field.kind() {
                Kind::Message(message) => self.add_message(&message),
                Kind::Enum(values) => self.add_enum(&values),
                _ => {}
            }
        }
        for inner in message.child_messages() {
            self.add_inside(&inner);
        }
    }

    fn add_enum(&mut self, values: &EnumDescriptor) {
        match values.parent_message() {
            Some(message) => self.add_message(&message),
            None => {
                self.types.insert(values.full_name().to_owned());
            }
        }
    }

    /// A file without what nothing leads to; none when that is all of it.
    fn part_of(&self, file: &FileDescriptorProto) -> Option<FileDescriptorProto> {
        let package = file.package();
        let full = |name: &str| format!("{package}.{name}");
        let mut part = file.clone();
        part.message_type
            .retain(|message| self.types.contains(&full(message.name())));
        part.enum_type
            .retain(|values| self.types.contains(&full(values.name())));
        for service in &mut part.service {
            let name = full(service.name());
            service.method.retain(|method| {
                let method = format!("{name}.{}", method.name());
                self.methods.contains(&method)
            });
        }
        part.service.retain(|service| !service.method.is_empty());
        part.extension.clear();
        // It counts what was there, and imports by their place among them.
        part.source_code_info = None;
        part.public_dependency.clear();
        part.weak_dependency.clear();
        let is_empty =
            part.message_type.is_empty() && part.enum_type.is_empty() && part.service.is_empty();
        (!is_empty).then_some(part)
    }
}
