//! What the server announced about the open folder, and when.

use std::time::Instant;

/// Announcements kept; more of them between two looks only cost exactness.
const NEWS_MAX: usize = 1024;

/// The folder as the server's untagged responses describe it.
#[derive(Debug, Default)]
pub(super) struct View {
    /// How many messages there are.
    exists: u32,
    /// How many of them were there at the last look, at least.
    looked_at: u32,
    /// Growths not yet looked at: the number of messages then, and when they were announced. Ascending.
    news: Vec<(u32, Announced)>,
}

/// When a message was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// When the response was read.
    pub(super) read_at: Instant,
    /// When the server could last have announced it and did not: the message came after that.
    pub(super) silent_until: Instant,
}

impl View {
    /// The folder was just opened: what is in it is no news.
    pub(super) fn opened(&mut self, exists: u32) {
        *self = Self { exists, looked_at: exists, news: Vec::new() };
    }

    /// EXISTS. Fewer messages than before, without EXPUNGE, is against the rules; a look clears it up.
    pub(super) fn exists(&mut self, count: u32, announced: Announced) {
        if count != self.exists && self.news.len() < NEWS_MAX {
            self.news.retain(|&(known, _)| known < count);
            self.news.push((count, announced));
        }
        self.exists = count;
    }

    /// EXPUNGE: the messages behind `sequence` move up (RFC 3501, section 7.4.1).
    pub(super) fn expunge(&mut self, sequence: u32) {
        self.exists = self.exists.saturating_sub(1);
        if self.looked_at >= sequence {
            self.looked_at = self.looked_at.saturating_sub(1);
        }
        for (count, _) in &mut self.news {
            if *count >= sequence {
                *count = count.saturating_sub(1);
            }
        }
    }

    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// How many messages are new, at most.
    pub(super) fn growth(&self) -> u32 {
        self.exists.saturating_sub(self.looked_at)
    }

    pub(super) fn count(&self) -> u32 {
        self.exists
    }

    /// When the message with this sequence number was first announced.
    pub(super) fn announced(&self, sequence: u32) -> Option<Announced> {
        self.news.iter().find(|&&(count, _)| count >= sequence).map(|&(_, announced)| announced)
    }

    /// A look that began at `started` is complete: what was announced before it is no news any more. What was announced
    /// meanwhile may not have been part of it.
    pub(super) fn looked(&mut self, started: Instant) {
        self.news.retain(|(_, announced)| announced.read_at >= started);
        if self.news.is_empty() {
            self.looked_at = self.exists;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn told(read_at: Instant) -> Announced {
        Announced { read_at, silent_until: read_at }
    }

    #[test]
    fn a_message_was_announced_by_the_first_count_that_includes_it() {
        let t = Instant::now();
        let mut view = View::default();
        view.opened(5);
        view.exists(5, told(t));
        assert!(!view.has_news());
        view.exists(6, told(at(t, 10)));
        view.exists(8, told(at(t, 20)));
        assert_eq!(view.announced(6), Some(told(at(t, 10))));
        assert_eq!(view.announced(8), Some(told(at(t, 20))));
        assert_eq!(view.announced(9), None);
    }

    #[test]
    fn an_expunge_moves_announcements_along() {
        let t = Instant::now();
        let mut view = View::default();
        view.opened(5);
        view.exists(6, told(at(t, 10)));
        view.expunge(2);
        view.exists(6, told(at(t, 20)));
        assert_eq!(view.announced(5), Some(told(at(t, 10))), "the sixth became the fifth");
        assert_eq!(view.announced(6), Some(told(at(t, 20))));
    }

    #[test]
    fn one_gone_and_one_come_is_news() {
        let t = Instant::now();
        let mut view = View::default();
        view.opened(5);
        view.expunge(1);
        assert!(!view.has_news());
        view.exists(5, told(t));
        assert!(view.has_news());
    }

    #[test]
    fn what_comes_during_a_look_stays_news() {
        let t = Instant::now();
        let mut view = View::default();
        view.opened(0);
        view.exists(1, told(t));
        let started = at(t, 5);
        view.exists(2, told(at(t, 10)));
        view.looked(started);
        assert!(view.has_news());
        assert_eq!(view.announced(2).unwrap(), told(at(t, 10)));
        assert_eq!(view.growth(), 2);
        view.looked(at(t, 11));
        assert!(!view.has_news());
        assert_eq!(view.growth(), 0);
    }
}
