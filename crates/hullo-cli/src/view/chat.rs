//! How a chat looks on a terminal. Pure: what has happened goes in, and what is to be drawn and asked for comes out.

pub(crate) mod clock;
mod complete;
pub(crate) mod draw;
mod hear;
mod input;
mod keys;
mod news;
mod room;
mod rows;
pub(crate) mod say;
pub(crate) mod state;

pub(crate) use self::news::{News, Wish};

#[cfg(test)]
mod tests;
