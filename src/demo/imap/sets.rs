//! Sequence sets as merged ranges.

use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};

/// Ranges in order, both ends included, none touching another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// `last` is what `*` stands for: the highest number in use, 0 if there is none.
    pub fn new(set: &SequenceSet, last: u32) -> Self {
        let number = |n: &SeqOrUid| match n {
            SeqOrUid::Value(n) => n.get(),
            SeqOrUid::Asterisk => last,
        };
        let mut ranges: Vec<(u32, u32)> = set
            .0
            .as_ref()
            .iter()
            .map(|sequence| match sequence {
                Sequence::Single(n) => (number(n), number(n)),
                Sequence::Range(a, b) => (number(a).min(number(b)), number(a).max(number(b))),
            })
            .filter(|(_, high)| *high > 0)
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (low, high) in ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    pub fn all() -> Self {
        Self(vec![(1, u32::MAX)])
    }

    pub fn iter(&self) -> impl Iterator<Item = std::ops::RangeInclusive<u32>> {
        self.0.iter().map(|(low, high)| *low..=*high)
    }

    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|(low, _)| *low <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, high)| number <= *high)
    }
}

/// Numbers as a set: `1:3,7`.
pub(super) fn compact(numbers: &[u32]) -> String {
    let mut text = String::new();
    let mut rest = numbers.iter().copied().peekable();
    while let Some(low) = rest.next() {
        let mut high = low;
        while let Some(next) = rest.next_if(|n| Some(*n) == high.checked_add(1)) {
            high = next;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&low.to_string());
        if high > low {
            text.push(':');
            text.push_str(&high.to_string());
        }
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn ranges(set: &str, last: u32) -> Vec<(u32, u32)> {
        Ranges::new(&set.parse().unwrap(), last).0
    }

    #[test]
    fn sets_are_merged() {
        assert_eq!(ranges("5,1:3,2:4", 9), [(1, 5)]);
        assert_eq!(ranges("7:*", 9), [(7, 9)]);
        // RFC 3501: a range that ends in * holds the last one, even if it starts above.
        assert_eq!(ranges("12:*", 9), [(9, 12)]);
        assert_eq!(ranges("*", 0), []);
        assert_eq!(ranges("1:*", 0), [(0, 1)]);
    }

    #[test]
    fn membership() {
        let set = Ranges::new(&"2:4,8".parse().unwrap(), 9);
        let members: Vec<u32> = (0..10).filter(|n| set.contains(*n)).collect();
        assert_eq!(members, [2, 3, 4, 8]);
    }

    #[test]
    fn numbers_are_compacted() {
        assert_eq!(compact(&[]), "");
        assert_eq!(compact(&[1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
    }
}
