//! The order in which the jobs of a queue are offered to workers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::turns::Turns;
use super::{Candidate, Lane, Snapshot, Usage, charge};
use crate::domain::job::Priority;

/// One queue: the lanes of one model and class.
pub(super) struct Line<'a> {
    pub model: &'a str,
    pub priority: Priority,
    /// The class it counts as in this plan.
    pub level: Priority,
    /// Start tag of its next turn: that of the tenant that had least, of those who can be given anything now.
    pub start: i64,
    /// The middle of the first of those turns: a queue is not behind others before it could have had that much.
    pub due: i64,
    /// Weights of its tenants, added up.
    pub weight: u64,
    lanes: Vec<OpenLane<'a>>,
    /// Lanes that can still give a job, by start tag, then by owner.
    order: BTreeSet<(i64, usize)>,
    /// Where each tenant's next tag starts.
    finish: HashMap<&'a str, i64>,
    /// The start of each tenant's next turn among the queues.
    starts: HashMap<&'a str, i64>,
}

struct OpenLane<'a> {
    lane: &'a Lane,
    tag: i64,
    has_place: bool,
    /// Jobs that are not assigned yet.
    left: Vec<&'a Candidate>,
}

/// Makes the queues of a snapshot, whatever order its lanes come in.
pub(super) fn lines<'a>(snapshot: &'a Snapshot, turns: &Turns) -> Vec<Line<'a>> {
    let mut lanes: Vec<&Lane> = snapshot.lanes.iter().collect();
    lanes.sort_by_key(|lane| (&lane.model, lane.priority, lane.start_tag, &lane.owner));
    let mut seen = HashSet::new();
    let mut lines: Vec<Line<'a>> = Vec::new();
    for lane in lanes {
        let jobs = lane.jobs.iter().filter(|job| seen.insert(job.job));
        let left: Vec<&Candidate> = jobs.collect();
        let Some(head) = left.first() else { continue };
        let head_charge = charge(head.estimated_cost, lane.weight.into());
        let is_same =
            |line: &&mut Line<'_>| (line.model, line.priority) == (&*lane.model, lane.priority);
        if lines.last_mut().filter(is_same).is_none() {
            lines.push(Line {
                model: &lane.model,
                priority: lane.priority,
                level: lane.priority,
                start: i64::MAX,
                due: i64::MAX,
                weight: 0,
                lanes: Vec::new(),
                order: BTreeSet::new(),
                finish: HashMap::new(),
                starts: HashMap::new(),
            });
        }
        if let Some(line) = lines.last_mut() {
            let start = turns.start(&lane.model, lane.priority, &lane.tenant);
            line.open(lane, left, (head_charge, start));
        }
    }
    lines
}

impl<'a> Line<'a> {
    fn open(&mut self, lane: &'a Lane, left: Vec<&'a Candidate>, (head_charge, start): (i64, i64)) {
        let tag = lane.start_tag;
        self.order.insert((tag, self.lanes.len()));
        let has_place = true;
        self.lanes.push(OpenLane {
            lane,
            tag,
            has_place,
            left,
        });
        let end = tag.saturating_add(head_charge);
        let finish = self.finish.entry(&lane.tenant).or_insert(end);
        *finish = (*finish).max(end);
        if self.starts.insert(&lane.tenant, start).is_none() {
            self.weight += u64::from(lane.weight.max(1));
        }
        self.start = self.start.min(start);
        self.due = self.due.min(start.saturating_add(head_charge / 2));
    }

    /// Finds out which lanes can be given anything. The others have no say in whose turn it is: a job that fits no
    /// free worker would claim it for ever, and its neighbours would have it.
    pub fn find_places(&mut self, mut has_place: impl FnMut(&Lane, &[&'a Candidate]) -> bool) {
        for open in &mut self.lanes {
            open.has_place = has_place(open.lane, &open.left);
        }
        self.find_start();
    }

    /// Puts its turns forward.
    pub fn lift(&mut self, lift: i64) {
        for start in self.starts.values_mut() {
            *start = start.saturating_add(lift);
        }
        self.start = self.start.saturating_add(lift);
        self.due = self.due.saturating_add(lift);
    }

    fn find_start(&mut self) {
        let lanes = self.order.iter().map(|&(_, at)| &self.lanes[at]);
        let turns = lanes.filter(|open| open.has_place).filter_map(|open| {
            let start = *self.starts.get(&*open.lane.tenant)?;
            let turn = charge(open.left.first()?.estimated_cost, open.lane.weight.into());
            Some((start, start.saturating_add(turn / 2)))
        });
        let first = turns.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)));
        if let Some((start, due)) = first {
            self.start = start;
            self.due = due;
        }
    }

    /// Lanes with jobs left, the first of the order first.
    pub fn in_order(&self, limit: usize) -> Vec<usize> {
        self.order.iter().map(|&(_, at)| at).take(limit).collect()
    }

    pub fn lane(&self, at: usize) -> &'a Lane {
        self.lanes[at].lane
    }

    /// Jobs of a lane that are not assigned yet.
    pub fn jobs(&self, at: usize) -> &[&'a Candidate] {
        &self.lanes[at].left
    }

    /// The first job of the first lane.
    pub fn front(&self) -> Option<&'a Candidate> {
        let &(_, at) = self.order.first()?;
        self.lanes[at].left.first().copied()
    }

    /// Takes a job out, and puts its lane behind its tenant's other lanes.
    pub fn take(&mut self, at: usize, job: usize) -> &'a Candidate {
        let open = &mut self.lanes[at];
        self.order.remove(&(open.tag, at));
        let weight = open.lane.weight.into();
        if let Some(head) = open.left.first().filter(|_| job > 0) {
            // The head was charged and is passed over.
            let charged = charge(head.estimated_cost, weight);
            let instead = charge(open.left[job].estimated_cost, weight);
            let finish = self.finish.entry(&open.lane.tenant).or_default();
            *finish = finish.saturating_sub(charged).saturating_add(instead);
        }
        let taken = open.left.remove(job);
        let start = self.starts.entry(&open.lane.tenant).or_default();
        *start = start.saturating_add(charge(taken.estimated_cost, open.lane.weight.into()));
        if let Some(next) = open.left.first() {
            let finish = self.finish.entry(&open.lane.tenant).or_default();
            open.tag = *finish;
            *finish = finish.saturating_add(charge(next.estimated_cost, open.lane.weight.into()));
            self.order.insert((open.tag, at));
        }
        self.find_start();
        taken
    }

    /// Leaves a lane out of this plan.
    pub fn close(&mut self, at: usize) {
        self.order.remove(&(self.lanes[at].tag, at));
        self.find_start();
    }
}

/// Running jobs by tenant and owner, with those of this plan.
pub(super) struct Caps<'a> {
    snapshot: &'a Snapshot,
    tenants: HashMap<&'a str, u32>,
    owners: HashMap<&'a str, u32>,
}

impl<'a> Caps<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            tenants: HashMap::new(),
            owners: HashMap::new(),
        }
    }

    /// Whether no further job of the lane may run.
    pub fn is_full(&self, lane: &Lane) -> bool {
        let is_full = |usage: Option<&Usage>, planned: Option<&u32>| {
            usage.is_some_and(|usage| {
                let running = usage.running.saturating_add(planned.copied().unwrap_or(0));
                usage.max_running > 0 && running >= usage.max_running
            })
        };
        is_full(
            self.snapshot.tenants.get(&lane.tenant),
            self.tenants.get(&*lane.tenant),
        ) || is_full(
            self.snapshot.owners.get(&lane.owner),
            self.owners.get(&*lane.owner),
        )
    }

    pub fn add(&mut self, lane: &'a Lane) {
        *self.tenants.entry(&lane.tenant).or_default() += 1;
        *self.owners.entry(&lane.owner).or_default() += 1;
    }
}

/// How far a queue may fall behind another one of its level, on the fair clock, for the sake of weights in memory.
pub(super) fn slack(patience: Duration, slots: u32, weight: u64) -> i64 {
    charge(
        patience.saturating_mul(slots).max(Duration::from_micros(1)),
        weight,
    )
}
