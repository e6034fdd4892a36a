//! A small picture of one wave, in four formats.

use http::{StatusCode, header::ACCEPT};

use super::{
    answer::{Answer, typed},
    call::Call,
    statuses,
};

pub(super) async fn png(_: Call) -> Answer {
    Ok(typed("image/png", include_bytes!("samples/wave.png").as_slice()))
}

pub(super) async fn jpeg(_: Call) -> Answer {
    Ok(typed("image/jpeg", include_bytes!("samples/wave.jpg").as_slice()))
}

pub(super) async fn webp(_: Call) -> Answer {
    Ok(typed("image/webp", include_bytes!("samples/wave.webp").as_slice()))
}

pub(super) async fn svg(_: Call) -> Answer {
    Ok(typed("image/svg+xml", include_str!("samples/wave.svg")))
}

/// The first of these kinds that is named, as httpbin has it; a client that takes anything gets PNG.
pub(super) async fn by_accept(call: Call) -> Answer {
    let Some(accept) = call.header(ACCEPT.as_str()) else { return png(call).await };
    let accept = accept.to_ascii_lowercase();
    let names = |kind: &str| accept.contains(kind);
    if names("image/webp") {
        webp(call).await
    } else if names("image/svg+xml") {
        svg(call).await
    } else if names("image/jpeg") {
        jpeg(call).await
    } else if names("image/png") || names("image/*") || names("*/*") {
        png(call).await
    } else {
        Ok(statuses::answer(StatusCode::NOT_ACCEPTABLE))
    }
}
