//! What is wrong with a configuration: all of it at once, each with its place and its remedy.

use std::fmt;

use jiff::Timestamp;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is missing.
    Unset,
    /// The built-in default.
    Default,
    Environment,
    /// The configuration file, as `FILE:key`.
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("unset"),
            Self::Default => f.write_str("default"),
            Self::Environment => f.write_str("environment"),
            Self::File(place) => f.write_str(place),
        }
    }
}

/// A setting and where its value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub setting: String,
    pub origin: Origin,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.setting, self.origin)
    }
}

/// What is wrong with a value and what to do, without saying which setting it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: String,
    pub remedy: String,
}

impl Fault {
    pub(super) fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

/// One refused setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)
    }
}

/// Every reason why a configuration was refused, in the order of the settings. `Display` writes one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The single problems; there is at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects problems and warnings while everything else is still being read.
#[derive(Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    warnings: Vec<String>,
    later: Vec<Late>,
}

/// A warning that holds from a point in time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Late {
    pub from: Timestamp,
    pub text: String,
}

impl Findings {
    pub(super) fn refuse(&mut self, place: Place, fault: Fault) {
        self.problems.push(Problem { place, fault });
    }

    pub(super) fn warn(&mut self, place: &Place, text: impl fmt::Display) {
        self.warnings.push(format!("{place}: {text}"));
    }

    /// A warning about what is over at `end`.
    pub(super) fn past(&mut self, end: Timestamp, place: &Place, text: impl fmt::Display) {
        self.later.push(Late { from: end, text: format!("{place}: {text}") });
    }

    /// The warnings that time will bring.
    pub(super) fn take_later(&mut self) -> Vec<Late> {
        std::mem::take(&mut self.later)
    }

    /// The value, or `None` with the fault noted.
    pub(super) fn keep<T>(&mut self, place: &Place, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.refuse(place.clone(), fault)).ok()
    }

    /// The warnings, when nothing was refused.
    pub(super) fn finish(self) -> Result<Vec<String>, Problems> {
        if self.problems.is_empty() { Ok(self.warnings) } else { Err(Problems(self.problems)) }
    }
}
