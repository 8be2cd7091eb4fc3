//! Sets of UIDs, kept as ranges.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A set of UIDs. Messages arrive with ascending UIDs, so a few ranges hold many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uids {
    /// First and last of each range; ranges neither overlap nor touch.
    ranges: BTreeMap<u32, u32>,
}

impl Uids {
    pub(super) fn contains(&self, uid: u32) -> bool {
        self.ranges.range(..=uid).next_back().is_some_and(|(_, &last)| uid <= last)
    }

    pub(super) fn insert(&mut self, uid: u32) {
        if self.contains(uid) {
            return;
        }
        let joins_before = self
            .ranges
            .range(..uid)
            .next_back()
            .filter(|&(_, &last)| last + 1 == uid)
            .map(|(&first, _)| first);
        let first = joins_before.unwrap_or(uid);
        let last = uid.checked_add(1).and_then(|next| self.ranges.remove(&next)).unwrap_or(uid);
        self.ranges.insert(first, last);
    }

    /// Forgets the lowest ranges until at most `max` are left. Returns the first UID that is surely still known, if
    /// any was forgotten.
    pub(super) fn limit(&mut self, max: usize) -> Option<u32> {
        let mut forgotten = None;
        while self.ranges.len() > max {
            forgotten = self.ranges.pop_first().map(|(_, last)| last.saturating_add(1));
        }
        forgotten
    }
}

impl FromIterator<u32> for Uids {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        let mut set = Self::default();
        uids.into_iter().for_each(|uid| set.insert(uid));
        set
    }
}

/// As a sequence-set (RFC 3501, section 9): `1,4:7`.
impl std::fmt::Display for Uids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            write!(f, "{first}")?;
            if last > first {
                write!(f, ":{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_are_compressed() {
        assert_eq!(Uids::from_iter([7, 5, 1, 6, 4, 4, u32::MAX]).to_string(), "1,4:7,4294967295");
        assert_eq!(Uids::default().to_string(), "");
    }

    #[test]
    fn the_lowest_are_forgotten_first() {
        let mut uids = Uids::from_iter([1, 3, 4, 9]);
        assert_eq!(uids.limit(3), None);
        assert_eq!(uids.limit(2), Some(2));
        assert_eq!(uids.limit(1), Some(5));
        assert_eq!(uids.limit(1), None);
        assert_eq!(uids.to_string(), "9");
    }

    proptest! {
        #[test]
        fn it_is_the_same_set(uids in prop::collection::vec(1u32..60, 0..60)) {
            let set: Uids = uids.iter().copied().collect();
            let model: BTreeSet<u32> = uids.into_iter().collect();
            for uid in 0..70 {
                prop_assert_eq!(set.contains(uid), model.contains(&uid));
            }
            let mut read_back = BTreeSet::new();
            for part in set.to_string().split(',').filter(|part| !part.is_empty()) {
                let (first, last) = part.split_once(':').unwrap_or((part, part));
                read_back.extend(first.parse::<u32>().unwrap_or(0)..=last.parse::<u32>().unwrap_or(0));
            }
            prop_assert_eq!(read_back, model);
        }
    }
}
