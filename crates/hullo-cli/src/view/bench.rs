//! How a load test looks.

pub(crate) mod live;
pub(crate) mod page;
