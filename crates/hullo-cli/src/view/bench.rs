//! How a load test looks.

pub(crate) mod beside;
pub(crate) mod live;
pub(crate) mod page;
pub(crate) mod prometheus;
mod spectrum;
pub(crate) mod summary;
pub(crate) mod table;

#[cfg(test)]
mod tests;
