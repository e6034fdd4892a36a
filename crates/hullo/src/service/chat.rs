//! Rooms.
#![allow(dead_code, reason = "the rooms that use it come next")]

#[cfg(feature = "sqlite")]
mod history;
