//! How a load test looks.

pub(crate) mod page;
