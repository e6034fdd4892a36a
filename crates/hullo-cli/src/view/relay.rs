//! How what is relayed looks: read out for `--inspect`, and as a live table. Pure: what was seen goes in, text and rows
//! come out.

pub(crate) mod heard;
mod http;
mod item;
mod objects;
pub(crate) mod page;
mod read;
pub(crate) mod table;
mod talk;
mod values;
mod words;

#[cfg(test)]
mod tests;
