//! A step that the kernel refused: which, why, and what to do about it.

use std::fmt;
use std::io;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// A step that failed. Travels through pipes between processes, hence plain values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done, in words.
    pub step: String,
    /// The kernel's answer (`errno.h`); 0 when the kernel was not asked.
    pub errno: i32,
    /// The reason, when it is not an errno's own text.
    pub reason: Option<String>,
    /// What a person can do.
    pub remedy: Option<String>,
}

impl Failure {
    /// A refusal that is not the kernel's.
    pub(crate) fn of(step: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            errno: 0,
            reason: Some(reason.into()),
            remedy: None,
        }
    }

    /// The same failure with what a person can do about it.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.step)?;
        match &self.reason {
            Some(reason) => f.write_str(reason)?,
            None => {
                let errno = Errno::from_raw(self.errno);
                write!(f, "{} ({errno:?})", errno.desc())?;
            }
        }
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Says which step an error belongs to.
pub(crate) trait Step<T> {
    /// Names the step; called only on failure.
    fn step(self, name: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Step<T> for nix::Result<T> {
    fn step(self, name: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|errno| Failure {
            step: name(),
            errno: errno as i32,
            reason: None,
            remedy: None,
        })
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, name: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            step: name(),
            errno: error.raw_os_error().unwrap_or(0),
            reason: match error.raw_os_error() {
                Some(_) => None,
                None => Some(error.to_string()),
            },
            remedy: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_step_errno_and_remedy() {
        let failure = Err::<(), _>(Errno::EPERM)
            .step(|| "unshare a user namespace".into())
            .unwrap_err()
            .remedy("run `netns-setup doctor`");
        assert_eq!(
            failure.to_string(),
            "unshare a user namespace: Operation not permitted (EPERM); run `netns-setup doctor`"
        );
    }
}
