//! Rooms.
#![allow(dead_code, reason = "the rooms that use it come next")]

mod accounts;
#[cfg(feature = "sqlite")]
mod history;
