//! Starts the processes of the demo, watches them, and ends every one of them whatever happens.

mod directory;
mod fleet;
mod process;
mod progress;

pub(crate) use directory::OutDirectory;
pub(crate) use fleet::{Cores, Fleet, Reading, ServiceEnd, Started};
pub(crate) use process::ChildProcess;
pub(crate) use progress::Progress;
