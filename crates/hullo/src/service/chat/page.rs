//! stub until the real one lands
use crate::io::exchange::Body;
use http::Response;
pub(super) fn find(_: &str) -> Option<Response<Body>> { None }
