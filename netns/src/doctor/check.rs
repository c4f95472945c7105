//! One line of the report.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is part of.
    pub group: Group,
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do, in one line; empty when there is nothing to be done.
    pub remedy: String,
    /// The Debian packages that bring it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub packages: &'static [&'static str],
}

/// What a check is part of; the report is ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// What the kernel can do and lets the caller do.
    Kernel,
    /// Programs of the machine.
    Programs,
    /// What the Compose file asks of this host.
    Project,
    /// How much of everything there is.
    Limits,
    /// The other two ways, which the lab does not need.
    Docker,
}

impl Group {
    /// What it is called in the report.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Kernel => "Kernel",
            Self::Programs => "Programs",
            Self::Project => "This Compose file",
            Self::Limits => "Limits",
            Self::Docker => "Docker (only for the Compose and Swarm ways)",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing; the lab comes up all the same.
    Note,
    /// It could not be found out; nothing is guessed.
    Unknown,
    /// The lab cannot come up.
    Missing,
}

impl Check {
    fn new(group: Group, name: &str, state: State, found: impl Into<String>) -> Self {
        Self {
            group,
            name: name.to_owned(),
            state,
            found: found.into(),
            remedy: String::new(),
            packages: &[],
        }
    }

    /// All is well.
    pub(super) fn ok(group: Group, name: &str, found: impl Into<String>) -> Self {
        Self::new(group, name, State::Ok, found)
    }

    /// Worth knowing.
    pub(super) fn note(group: Group, name: &str, found: impl Into<String>) -> Self {
        Self::new(group, name, State::Note, found)
    }

    /// Not found out.
    pub(super) fn unknown(group: Group, name: &str, found: impl Into<String>) -> Self {
        Self::new(group, name, State::Unknown, found)
    }

    /// In the way.
    pub(super) fn missing(group: Group, name: &str, found: impl Into<String>) -> Self {
        Self::new(group, name, State::Missing, found)
    }

    /// With what to do about it.
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// With the packages that bring it, which is then the remedy.
    pub(super) fn packages(mut self, packages: &'static [&'static str]) -> Self {
        self.packages = packages;
        self.remedy(format!("apt-get install {}", packages.join(" ")))
    }
}
