//! Attempts of viewers to get objects. A viewer that requests an object again because the request before failed makes
//! the same attempt, so that retries of one missing segment do not look like many failures. An attempt belongs to the
//! stage, and to the window, in which it began.

use super::exchanges::Fault;
use crate::exchange::Exchange;
use crate::recent::Recent;

/// The maximum number of failed attempts that are remembered, over all viewers. A retry of an older one counts as a new
/// attempt.
const MAX_ATTEMPTS: usize = 100_000;

/// A request, as a part of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The failure of the request, if it failed.
    pub fault: Option<Fault>,
    /// Whether it repeats a request that failed.
    pub is_repeat: bool,
}

/// An object that a process of a viewer requests: the numbers of viewer and process, and the hash of its URL.
type Object = (u32, u32, u64);

/// The objects whose last request failed.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    failed: Recent<Object, ()>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { failed: Recent::new(MAX_ATTEMPTS) }
    }
}

/// In place of an object, while the viewer cannot connect. Processes of viewers are numbered from 1.
const fn connection(viewer: u32) -> Object {
    (viewer, 0, 0)
}

impl Attempts {
    /// Adds a request that ended with `fault`.
    pub(crate) fn request(&mut self, exchange: &Exchange, fault: Option<Fault>) -> Attempt {
        let Exchange { viewer, generation, url_hash, .. } = *exchange;
        let object = (viewer, generation, url_hash);
        // Nearly always, nothing has failed.
        let mut failed = |object| !self.failed.is_empty() && self.failed.remove(object).is_some();
        let (again, connected) = (failed(&object), failed(&connection(viewer)));
        if fault.is_some() {
            self.failed.insert(object, (), 1);
        }
        Attempt { fault, is_repeat: again || connected }
    }

    /// Adds a connection that could not be made. Returns whether the viewer could not connect before either.
    pub(crate) fn connect_failed(&mut self, viewer: u32) -> bool {
        let again = self.failed.get(&connection(viewer)).is_some();
        self.failed.insert(connection(viewer), (), 1);
        again
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::stats::tests::segment;

    fn request(attempts: &mut Attempts, viewer: u32, generation: u32, url_hash: u64, fails: bool) -> bool {
        let exchange = Exchange { generation, url_hash, ..segment(viewer) };
        attempts.request(&exchange, fails.then_some(Fault::Http)).is_repeat
    }

    #[test]
    fn only_a_request_after_a_failed_one_for_the_same_object_is_a_repeat() {
        let mut attempts = Attempts::default();
        let mut requested =
            |viewer, generation, url, fails| request(&mut attempts, viewer, generation, url, fails);
        assert!(!requested(1, 1, 7, true));
        assert!(!requested(1, 1, 8, false), "another object");
        assert!(!requested(2, 1, 7, true), "another viewer");
        assert!(!requested(1, 2, 7, true), "another process, which tries for the first time");
        assert!(requested(1, 1, 7, true) && requested(1, 1, 7, false));
        assert!(!requested(1, 1, 7, false), "it had succeeded");
    }

    #[test]
    fn a_request_after_failed_connects_is_what_the_viewer_had_tried_to_send() {
        let mut attempts = Attempts::default();
        assert!(!attempts.connect_failed(1) && attempts.connect_failed(1) && !attempts.connect_failed(2));
        assert!(request(&mut attempts, 1, 1, 7, false));
        assert!(!request(&mut attempts, 1, 1, 8, false) && !attempts.connect_failed(1));
    }

    proptest! {
        #[test]
        fn attempts_are_the_runs_of_failures_up_to_a_success(
            requests in prop::collection::vec((1_u32..4, 1_u64..4, any::<bool>()), 0..200),
        ) {
            let (mut attempts, mut last) = (Attempts::default(), HashMap::new());
            for (viewer, url, fails) in requests {
                let wanted = last.insert((viewer, url), fails).unwrap_or(false);
                prop_assert_eq!(request(&mut attempts, viewer, 1, url, fails), wanted);
            }
        }
    }
}
