//! The API asked without a socket of its own.
