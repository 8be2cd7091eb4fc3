//! How the channels fare, as those see it who do not drain them: readiness, heartbeat, emergency.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::alert::Channel;
use crate::metrics::Readiness;
use crate::metrics::readiness::ChannelState;

/// How one channel fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fare {
    /// Neither refused nor failing for too long.
    pub up: bool,
    /// Digest of the setting that it refused.
    pub refused: Option<Vec<u8>>,
}

/// See the module.
pub struct Board {
    fares: Mutex<BTreeMap<Channel, Fare>>,
    readiness: watch::Sender<Readiness>,
}

impl Board {
    #[must_use]
    pub fn new(readiness: watch::Sender<Readiness>) -> Self {
        Self { fares: Mutex::default(), readiness }
    }

    /// Only these channels are configured; of those that are new nothing bad is known.
    pub fn set_configured(&self, channels: &[Channel]) {
        let mut fares = self.fares();
        fares.retain(|channel, _| channels.contains(channel));
        for channel in channels {
            fares.entry(channel.clone()).or_insert(Fare { up: true, refused: None });
        }
        self.show(fares);
    }

    pub fn set(&self, channel: &Channel, fare: Fare) {
        let mut fares = self.fares();
        if fares.get(channel) != Some(&fare) {
            fares.insert(channel.clone(), fare);
            self.show(fares);
        }
    }

    /// Whether there are channels and no alert gets out on any.
    #[must_use]
    pub fn is_all_down(&self) -> bool {
        let fares = self.fares();
        !fares.is_empty() && fares.values().all(|fare| !fare.up)
    }

    /// The digest of the setting that a channel refused.
    #[must_use]
    pub fn refused(&self, channel: &Channel) -> Option<Vec<u8>> {
        self.fares().get(channel)?.refused.clone()
    }

    /// By name, as nobody logs in at the listener: a name is up when all its destinations are.
    fn show(&self, fares: MutexGuard<'_, BTreeMap<Channel, Fare>>) {
        let mut names: BTreeMap<&'static str, bool> = BTreeMap::new();
        for (channel, fare) in &*fares {
            *names.entry(channel.name()).or_insert(true) &= fare.up;
        }
        drop(fares);
        let states: Vec<ChannelState> =
            names.into_iter().map(|(name, up)| ChannelState { channel: name.to_owned(), up }).collect();
        self.readiness.send_if_modified(|readiness| {
            let changed = readiness.channels != states;
            readiness.channels = states;
            changed
        });
    }

    fn fares(&self) -> MutexGuard<'_, BTreeMap<Channel, Fare>> {
        self.fares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn shown(readiness: &watch::Receiver<Readiness>) -> Vec<(String, bool)> {
        let readiness = readiness.borrow();
        readiness.channels.iter().map(|state| (state.channel.clone(), state.up)).collect()
    }

    #[test]
    fn channels_are_shown_by_name_and_all_down_means_every_destination() {
        let (sender, readiness) = watch::channel(Readiness::default());
        let board = Board::new(sender);
        assert!(!board.is_all_down(), "without a channel there is none that is down");
        let (a, b) = (Channel::Email(Arc::from("a@lab.test")), Channel::Email(Arc::from("b@lab.test")));
        board.set_configured(&[Channel::Discord, a.clone(), b.clone()]);
        assert_eq!(shown(&readiness), [("discord".to_owned(), true), ("email".to_owned(), true)]);
        board.set(&Channel::Discord, Fare { up: false, refused: Some(vec![1]) });
        board.set(&a, Fare { up: false, refused: None });
        assert_eq!(shown(&readiness), [("discord".to_owned(), false), ("email".to_owned(), false)]);
        assert!(!board.is_all_down(), "one address takes mail");
        board.set(&b, Fare { up: false, refused: None });
        assert!(board.is_all_down());
        assert_eq!(board.refused(&Channel::Discord), Some(vec![1]));
        board.set_configured(std::slice::from_ref(&b));
        assert_eq!(shown(&readiness), [("email".to_owned(), false)]);
        assert!(board.is_all_down());
    }
}
