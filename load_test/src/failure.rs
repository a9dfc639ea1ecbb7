//! Why there is no result: a sentence, and what to do next.

use std::{fmt, io};

/// Ends the run without figures.
#[derive(Debug)]
pub enum Failure {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// The run could not be made.
    Run(String),
}

impl Failure {
    /// Something that the operating system refused.
    pub fn io(what: &str, error: io::Error) -> Self {
        Self::Run(format!("cannot {what}: {error}"))
    }

    /// The exit code that goes with it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Run(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Run(text) => f.write_str(text),
        }
    }
}
