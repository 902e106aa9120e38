//! What a connection follows: one live query for all of its subscriptions, and the logs that a new one begins with.
//!
//! Invariants
//! * A log that arrives comes once, whichever of the subscriptions want it, and in the order in which logs arrived. When the
//!   subscriptions change, the live query is begun again behind the last log that it has looked at.
//! * The logs that a further subscription begins with come as that one asks for them, also those that came for another before.
use super::wanted::Wanted;
use crate::server::Server;
use crate::server::error::ApiError;
use crate::server::follow::begin;
use crate::server::select::{Gone, limit};
use crate::transfer::row::push_row;
use logyard_storage::engine::{Given, Polled, Subscription};
use logyard_storage::error::Error;
use logyard_storage::limits::KIB;
use logyard_storage::query::filter::Filter;
use logyard_storage::query::tree::Options;
use logyard_storage::query::{Flow, Query, Start};
use logyard_storage::record::{Record, RecordId};
use logyard_storage::scan::Cancel;
use std::sync::Arc;

/// About what is sent before it is looked whether the client said something.
const CHUNK_BYTES: usize = 64 * KIB;

/// A live query that runs.
pub(super) struct Following {
    subscription: Subscription,
    /// The last log that it gives, where another one goes on from there.
    until: Option<RecordId>,
    _gone: Gone,
}

/// What a look has come to.
pub(super) struct Looked {
    pub(super) messages: Vec<String>,
    pub(super) polled: Result<Polled, Error>,
}

impl Following {
    /// For who may see some services only, or all.
    async fn begin(
        server: &Arc<Server>,
        services: Option<&[String]>,
        filter: Filter,
        start: Start,
    ) -> Result<Self, ApiError> {
        let cancel = Cancel::default();
        let gone = Gone::of(cancel.clone());
        let mut query = Query { options: Options::default(), filter, pipes: Vec::new() };
        if let Some(services) = services {
            limit(&mut query, services);
        }
        let subscription = begin(server, start, true, cancel, move |_| Ok((query, ()))).await?;
        Ok(Self { subscription, until: None, _gone: gone })
    }

    /// Looks for what there is to send.
    pub(super) fn look(mut self) -> (Self, Looked) {
        let (mut messages, mut bytes, until) = (Vec::new(), 0, self.until);
        let polled = self.subscription.poll(&mut |given| {
            let before = messages.len();
            messages.extend(told(given, until));
            bytes += messages.iter().skip(before).map(String::len).sum::<usize>();
            Ok(if bytes >= CHUNK_BYTES { Flow::Enough } else { Flow::More })
        });
        (self, Looked { messages, polled })
    }
}

/// What is said of what a live query gives, of which nothing is told behind its end.
fn told(given: Given, until: Option<RecordId>) -> Vec<String> {
    match given {
        Given::Records(records) => {
            let is_left = |record: &&Record| until.is_none_or(|until| !is_behind(record, until));
            records.iter().filter(is_left).map(log).collect()
        }
        // All up to its end was there when it began: what it misses is behind, and told by the live query that goes on there.
        Given::Missed(_) if until.is_some() => Vec::new(),
        Given::Missed(count) => vec![format!("{{\"type\":\"missed\",\"count\":{count}}}")],
        // Whole records were asked for.
        Given::Rows(..) => Vec::new(),
    }
}

/// Whether a record arrived after another.
fn is_behind(record: &Record, other: RecordId) -> bool {
    record.epoch == other.epoch() && record.seq > other.seq()
}

fn log(record: &Record) -> String {
    let mut message = String::from("{\"type\":\"log\",\"data\":");
    push_row(&mut message, record, None);
    message.push('}');
    message
}

/// What a connection follows.
#[derive(Default)]
pub(super) struct Followed {
    wanted: Wanted,
    live: Option<Following>,
    /// What comes before that: the logs that a new subscription begins with.
    history: Option<Following>,
    /// The only services that may be seen.
    services: Option<Arc<[String]>>,
}

impl Followed {
    /// Nothing, for who may see some services only, or all.
    pub(super) fn of(services: Option<Arc<[String]>>) -> Self {
        Self { services, ..Self::default() }
    }

    /// Follows nothing any more.
    pub(super) fn end(&mut self) {
        *self = Self::of(self.services.take());
    }

    /// Whether anything is followed.
    pub(super) fn is_some(&self) -> bool {
        self.live.is_some()
    }

    /// Whether logs are being given that were there before.
    pub(super) fn is_beginning(&self) -> bool {
        self.live.is_some() && (self.history.is_some() || self.cursor().is_none())
    }

    fn cursor(&self) -> Option<RecordId> {
        self.live.as_ref().and_then(|live| live.subscription.cursor())
    }

    /// Follows what other subscriptions want, the last of which begins with some logs that were there before. Where that cannot be
    /// done all stays as it is.
    pub(super) async fn subscribe(
        &mut self,
        server: &Arc<Server>,
        wanted: Wanted,
        start: Start,
    ) -> Result<(), ApiError> {
        let services = self.services.as_deref();
        let (mut history, behind) = (None, self.cursor().filter(|_| wanted.len() > 1));
        let live = match behind {
            None => Following::begin(server, services, wanted.filter(), start).await?,
            Some(last) => {
                let live = Following::begin(server, services, wanted.filter(), Start::After(last)).await?;
                if start != Start::Now {
                    let before = Following::begin(server, services, wanted.last(), start).await?;
                    history = Some(Following { until: Some(last), ..before });
                }
                live
            }
        };
        (self.wanted, self.live, self.history) = (wanted, Some(live), history);
        Ok(())
    }

    /// Follows what is left of the subscriptions.
    pub(super) async fn unsubscribe(&mut self, server: &Arc<Server>, name: Option<&str>) -> Result<(), ApiError> {
        let wanted = self.wanted.without(name);
        if wanted.len() == self.wanted.len() {
            return Ok(());
        }
        match (wanted.len(), self.cursor()) {
            (0, _) => self.end(),
            (_, last) => {
                let (services, start) = (self.services.as_deref(), last.map_or(Start::Now, Start::After));
                let live = Following::begin(server, services, wanted.filter(), start).await?;
                (self.wanted, self.live, self.history) = (wanted, Some(live), None);
            }
        }
        Ok(())
    }

    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Takes out what to look at next.
    pub(super) fn take(&mut self) -> Option<Following> {
        self.history.take().or_else(|| self.live.take())
    }

    /// Puts it back after a look; gives whether there may be more to send at once.
    pub(super) fn put_back(&mut self, following: Following, polled: Polled) -> bool {
        let Some(until) = following.until else {
            self.live = Some(following);
            return polled == Polled::More;
        };
        let has_passed = following.subscription.cursor().is_some_and(|last| last.seq() >= until.seq());
        if polled == Polled::More && !has_passed {
            self.history = Some(following);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_told_by_the_live_query_alone() {
        assert_eq!(told(Given::Missed(3), None), [r#"{"type":"missed","count":3}"#]);
        assert!(told(Given::Missed(3), Some(RecordId::new(0, 1, 5))).is_empty());
    }
}
