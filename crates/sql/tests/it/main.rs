//! What texts may do, by the cases that a read/write splitter must get right.

mod broken;
mod common;
mod functions;
mod limits;
mod sessions;
mod spellings;
mod statements;
