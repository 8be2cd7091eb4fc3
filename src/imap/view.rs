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
    /// Growths not yet looked at: the number of messages then, and when the response was read. Ascending.
    news: Vec<(u32, Instant)>,
}

impl View {
    /// The folder was just opened: what is in it is no news.
    pub(super) fn opened(&mut self, exists: u32) {
        *self = Self { exists, looked_at: exists, news: Vec::new() };
    }

    /// EXISTS. Fewer messages than before, without EXPUNGE, is against the rules; a look clears it up.
    pub(super) fn exists(&mut self, count: u32, read_at: Instant) {
        if count != self.exists && self.news.len() < NEWS_MAX {
            self.news.retain(|&(known, _)| known < count);
            self.news.push((count, read_at));
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
    pub(super) fn announced(&self, sequence: u32) -> Option<Instant> {
        self.news.iter().find(|&&(count, _)| count >= sequence).map(|&(_, read_at)| read_at)
    }

    /// A look that began at `started` is complete: what was announced before it is no news any more. What was announced
    /// meanwhile may not have been part of it.
    pub(super) fn looked(&mut self, started: Instant) {
        self.news.retain(|&(_, read_at)| read_at >= started);
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

    #[test]
    fn a_message_was_announced_by_the_first_count_that_includes_it() {
        let t = Instant::now();
        let mut view = View::default();
        view.opened(5);
        view.exists(5, t);
        assert!(!view.has_news());
        view.exists(6, at(t, 10));
        view.exists(8, at(t, 20));
        assert_eq!(view.announced(6), Some(at(t, 10)));
        assert_eq!(view.announced(8), Some(at(t, 20)));
        assert_eq!(view.announced(9), None);
    }

    #[test]
    fn an_expunge_moves_announcements_along() {
        let t = Instant::now();
        let mut view = View::default();
        view.opened(5);
        view.exists(6, at(t, 10));
        view.expunge(2);
        view.exists(6, at(t, 20));
        assert_eq!(view.announced(5), Some(at(t, 10)), "the sixth became the fifth");
        assert_eq!(view.announced(6), Some(at(t, 20)));
    }

    #[test]
    fn one_gone_and_one_come_is_news() {
        let t = Instant::now();
        let mut view = View::default();
        view.opened(5);
        view.expunge(1);
        assert!(!view.has_news());
        view.exists(5, t);
        assert!(view.has_news());
    }

    #[test]
    fn what_comes_during_a_look_stays_news() {
        let t = Instant::now();
        let mut view = View::default();
        view.opened(0);
        view.exists(1, t);
        let started = at(t, 5);
        view.exists(2, at(t, 10));
        view.looked(started);
        assert!(view.has_news());
        assert_eq!(view.announced(2).unwrap(), at(t, 10));
        assert_eq!(view.growth(), 2);
        view.looked(at(t, 11));
        assert!(!view.has_news());
        assert_eq!(view.growth(), 0);
    }
}
