//! The names that fields and objects came under: the tree of all paths that a builder has met.
//!
//! Records of one sender name their fields in one order, so that what followed a name the last time is looked at before
//! anything is looked up.
//!
//! Invariants
//! * The first node is the record itself; each other one has its parent before it.
//! * A record has at most one value in a node: a name that comes again goes to a node of its own.
//! * No two nodes have the same path, also where two names are the same once they are cut.
use super::super::lane::LaneKind;
use super::super::recent::ShortText;
use super::super::window::Window;
use super::BatchBuilder;
use crate::limits::{FIELD_NAME_BYTES_MAX, KIB, RECORD_DEPTH_MAX};
use crate::privacy::Verdict;
use crate::record::FieldPath;

/// Fields that a builder remembers from batch to batch.
pub(super) const NODES_MAX: usize = 16 * KIB;

pub(super) const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;
/// What has no node, since there are too many names (`surplus.rs`).
pub(super) const BEYOND: u32 = u32::MAX - 1;
/// What a cut before a character may leave free.
const LAST_CHAR_BYTES_MAX: usize = 3;

/// A name in an object: a field, an object, or both.
pub(super) struct Node {
    pub(super) parent: u32,
    pub(super) name: Box<str>,
    short_name: Option<ShortText>,
    occurrence: u16,
    depth: u16,
    /// The node that came after this one the last time: nearly always right.
    follower: u32,
    /// The node that holds the next value of the same name in the same record.
    repeat: u32,
    /// The last row in which it had a value.
    row: u64,
    /// Its number among the batch's fields, while `batch` is the current one.
    pub(super) batch: u64,
    pub(super) field: u32,
    /// Its lanes so far.
    pub(super) lanes: Vec<(LaneKind, u32)>,
    /// Which of the stream fields it is.
    pub(super) stream_field: Option<u16>,
    /// What was found out of its name for the redaction of this number.
    pub(super) verdict: (u64, Verdict),
    /// Of its texts in all streams.
    pub(super) window: Window,
}

impl BatchBuilder {
    pub(super) fn reset_nodes(&mut self) {
        self.nodes.clear();
        self.children.clear();
        self.long_names.clear();
        self.lanes.clear();
        for stream in &mut self.known_streams {
            stream.windows.clear();
        }
        self.add_node(ROOT, "", 0, 0);
        // Streams are known by these, however many names a row has before them.
        self.look_up_child(ROOT, "service_name");
        for name in self.stream_fields.clone() {
            self.look_up_child(ROOT, &name);
        }
    }

    #[inline]
    pub(super) fn value_node(&mut self, name: &str) -> u32 {
        let mut at = self.child(name);
        let row = self.row;
        // A name that comes again in the same record goes to a node of its own.
        loop {
            let Some(node) = self.nodes.get_mut(at as usize) else { return BEYOND };
            if node.row != row {
                node.row = row;
                return at;
            }
            at = if node.repeat == NONE { self.add_repeat(at) } else { node.repeat };
        }
    }

    #[inline]
    pub(super) fn child(&mut self, name: &str) -> u32 {
        let parent = self.objects.last().copied().unwrap_or(ROOT);
        let guess = self.nodes.get(self.previous as usize).map_or(NONE, |node| node.follower);
        let is_right = self.nodes.get(guess as usize).is_some_and(|node| {
            let short = ShortText::of(name.as_bytes());
            // Most names are short, and then they are two numbers.
            node.parent == parent && node.short_name == short && (short.is_some() || *node.name == *name)
        });
        let found = if is_right { guess } else { self.look_up_child(parent, name) };
        self.previous = found;
        found
    }

    fn look_up_child(&mut self, parent: u32, name: &str) -> u32 {
        self.child_key.clear();
        self.child_key.extend_from_slice(&parent.to_le_bytes());
        self.child_key.extend_from_slice(name.as_bytes());
        let found = match self.children.get(&*self.child_key) {
            Some(found) => *found,
            None if parent == BEYOND || !self.has_room_for_a_name() => return BEYOND,
            None => {
                let depth = self.nodes.get(parent as usize).map_or(0, |node| node.depth) + 1;
                let found = self.add_node(parent, name, 0, depth);
                self.children.insert(self.child_key.as_slice().into(), found);
                found
            }
        };
        if let Some(previous) = self.nodes.get_mut(self.previous as usize) {
            previous.follower = found;
        }
        found
    }

    fn add_node(&mut self, parent: u32, name: &str, occurrence: u16, depth: u16) -> u32 {
        let stream_field = self.stream_field(parent, name);
        self.nodes.push(Node {
            parent,
            name: name.into(),
            short_name: ShortText::of(name.as_bytes()),
            occurrence,
            depth,
            follower: NONE,
            repeat: NONE,
            row: 0,
            batch: 0,
            field: 0,
            lanes: Vec::new(),
            stream_field,
            verdict: (0, Verdict::default()),
            window: Window::default(),
        });
        let node = self.nodes.len() as u32 - 1;
        if self.is_long(node) {
            self.number_long_name(node);
        }
        node
    }

    /// Whether a node's flat name is cut, or could be what is left of one that is cut.
    fn is_long(&self, mut node: u32) -> bool {
        let (mut bytes, mut depth) = (0, 0);
        while node != ROOT && depth <= RECORD_DEPTH_MAX {
            let Some(known) = self.nodes.get(node as usize) else { break };
            bytes += known.name.len() + usize::from(depth > 0);
            (node, depth) = (known.parent, depth + 1);
        }
        bytes + LAST_CHAR_BYTES_MAX >= FIELD_NAME_BYTES_MAX
    }

    /// Which of the stream fields a name is, a nested one by its dotted name.
    fn stream_field(&self, parent: u32, name: &str) -> Option<u16> {
        let found = if parent == ROOT {
            self.stream_fields.iter().position(|field| **field == *name)
        } else {
            let is_nested = self.stream_fields.iter().any(|field| field.contains('.') && field.ends_with(name));
            let path = is_nested.then(|| format!("{}.{name}", self.path(parent).name))?;
            self.stream_fields.iter().position(|field| **field == *path)
        };
        found.and_then(|found| u16::try_from(found).ok())
    }

    fn add_repeat(&mut self, of: u32) -> u32 {
        if !self.has_room_for_a_name() {
            return BEYOND;
        }
        let Some((parent, name, occurrence, depth)) =
            self.nodes.get(of as usize).map(|n| (n.parent, n.name.clone(), n.occurrence.saturating_add(1), n.depth))
        else {
            return BEYOND;
        };
        let added = self.add_node(parent, &name, occurrence, depth);
        if let Some(node) = self.nodes.get_mut(of as usize) {
            node.repeat = added;
        }
        added
    }

    /// The flat name of a node with its nesting. A name over the limit is cut at a character boundary.
    pub(in crate::batch) fn path(&self, node: u32) -> FieldPath {
        let (mut name, nesting) = self.whole_name(node);
        let end = name.floor_char_boundary(FIELD_NAME_BYTES_MAX);
        name.truncate(end);
        let nesting = nesting.into_iter().filter(|at| *at < end).map(|at| at as u16).collect();
        let occurrence = self.nodes.get(node as usize).map_or(0, |node| node.occurrence);
        FieldPath { name: name.into(), nesting, occurrence }
    }

    /// The flat name of a node, however long, with the places of the dots that are nesting.
    pub(super) fn whole_name(&self, node: u32) -> (String, Vec<usize>) {
        let mut parts = Vec::new();
        let mut at = node;
        while at != ROOT && parts.len() <= RECORD_DEPTH_MAX {
            let Some(node) = self.nodes.get(at as usize) else { break };
            parts.push(&*node.name);
            at = node.parent;
        }
        let mut name = String::new();
        let mut nesting = Vec::new();
        for (i, part) in parts.iter().rev().enumerate() {
            if i > 0 {
                nesting.push(name.len());
                name.push('.');
            }
            name.push_str(part);
        }
        (name, nesting)
    }

    /// Gives a node with a long name its number among those of which the same is left.
    fn number_long_name(&mut self, node: u32) {
        let path = FieldPath { occurrence: 0, ..self.path(node) };
        let next = self.long_names.entry(path).or_default();
        let occurrence = *next;
        *next = next.saturating_add(1);
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.occurrence = occurrence;
        }
    }
}
