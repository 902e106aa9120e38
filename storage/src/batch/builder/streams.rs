//! Which stream a row belongs to, by the values of its stream fields.
//!
//! Invariants
//! * Of a field that comes twice the last value counts, here as everywhere.
//! * A stream is numbered within a batch once a row of it is kept.
use super::super::Stream;
use super::super::window::Window;
use super::{BatchBuilder, Pending, Sent};

/// A stream that rows came in.
pub(super) struct KnownStream {
    pub(super) stream: Stream,
    pub(super) batch: u64,
    pub(super) local: u16,
    pub(super) windows: Vec<Window>,
}

impl BatchBuilder {
    /// The known stream of the row that is being committed.
    pub(super) fn find_stream(&mut self) -> u32 {
        // The common case, the service alone, finds its stream without making the tags.
        if let [only] = &*self.stream_fields
            && &**only == "service_name"
        {
            let found = self
                .pending
                .iter()
                .rev()
                .find(|p| self.nodes.get(p.node as usize).is_some_and(|node| node.stream_field.is_some()));
            let value = found.map_or("", |found| self.text_of(found));
            if let Some(known) = self.streams.get(value) {
                return *known;
            }
            let tags = tags([(&**only, value)].into_iter());
            let stream = Stream { service: value.into(), tags };
            let key = value.into();
            return self.add_stream(key, stream);
        }
        let mut values = vec![""; self.stream_fields.len()];
        for value in &self.pending {
            let field = self.nodes.get(value.node as usize).and_then(|node| node.stream_field);
            if let Some(place) = field.and_then(|field| values.get_mut(usize::from(field))) {
                *place = self.text_of(value);
            }
        }
        let service = self.row_service();
        let tags = tags(self.stream_fields.iter().map(|name| &**name).zip(values));
        let key: Box<str> = format!("{service}\0{tags}").into();
        match self.streams.get(&key) {
            Some(known) => *known,
            None => self.add_stream(key, Stream { service: service.into(), tags }),
        }
    }

    /// LogsQL's text of a value of the row.
    pub(super) fn text_of(&self, value: &Pending) -> &str {
        match value.sent {
            Sent::True => "true",
            Sent::False => "false",
            _ => self.arena.get(value.start as usize..value.end as usize).unwrap_or_default(),
        }
    }

    pub(super) fn add_stream(&mut self, key: Box<str>, stream: Stream) -> u32 {
        self.known_streams.push(KnownStream { stream, batch: 0, local: 0, windows: Vec::new() });
        let known = self.known_streams.len() as u32 - 1;
        self.streams.insert(key, known);
        known
    }

    #[inline]
    pub(super) fn local_stream(&mut self, known: u32) -> u16 {
        let Some(stream) = self.known_streams.get_mut(known as usize) else { return 0 };
        if stream.batch != self.batch {
            stream.batch = self.batch;
            stream.local = self.batch_streams.len() as u16;
            self.batch_streams.push(known);
        }
        stream.local
    }
}

/// `{name="value",...}`, as LogsQL shows a stream.
fn tags<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Box<str> {
    let mut out = String::from("{");
    for (name, value) in fields.filter(|(_, value)| !value.is_empty()) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(name);
        out.push('=');
        crate::record::push_json_string(&mut out, value);
    }
    out.push('}');
    out.into()
}
