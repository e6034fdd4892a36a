//! Forms: several files by one POST (RFC 7578), and new folders.

use std::sync::Arc;

use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use http_body_util::BodyExt;

use super::{
    super::{Answer, Asked, Refusal, bare, listing::accepts, place::Place, root::Root, with},
    Uploads, bad,
    digest::Digests,
    incoming::Source,
    sending::{Sending, is_new},
    target::{Target, blocking, refused},
    token::Token,
};
use crate::io::{
    condition::Condition,
    exchange::{Body, collect, text},
};

/// The most bytes of a form that says only a name.
const NAME: usize = 4 << 10;

/// Files that one form may bring.
const FILES: usize = 10_000;

/// Each file of a form is a file of the folder, under its own name.
pub(super) async fn take(asked: &Asked, uploads: Arc<Uploads>, body: Body) -> Answer {
    let kind = asked.head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        let why = "a POST brings a form of files, as in curl -F file=@name; a PUT to the name brings one file";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
    })?;
    let mut form = multer::Multipart::new(body.into_data_stream(), boundary);
    let (mut said, mut worst, mut files) = (String::new(), None, 0);
    loop {
        let mut field = match form.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => break,
            Err(error) => {
                return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("{said}the form cannot be read: {error}")));
            }
        };
        // A field without a file's name, or with an empty one where none was chosen, is none.
        let Some(name) = field.file_name().filter(|name| !name.is_empty()).map(str::to_owned) else { continue };
        files += 1;
        if files > FILES {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("{said}a form may bring {FILES} files and no more"),
            ));
        }
        match one(asked, asked.place.join(name.as_bytes())).take(asked, &uploads, Source::Field(&mut field)).await {
            Ok(taken) => said += &format!("{taken}\n"),
            Err(refusal) => {
                said += &format!("{}\n", refusal.why);
                worst = worst.or(Some(refusal.status));
            }
        }
    }
    match worst {
        None if files == 0 => Err(bad("there is no file in the form, as in curl -F file=@name")),
        None => Ok(done(asked, said)),
        Some(status) => Ok(text(status, said)),
    }
}

fn one(asked: &Asked, place: Place) -> Sending {
    Sending {
        place,
        token: Token::of_client(&asked.client()),
        offset: 0,
        resumes: false,
        stays: false,
        last: true,
        length: None,
        whole: Digests::default(),
        content: Digests::default(),
        condition: if is_new(&asked.head.headers) { Condition::of(&asked.head.headers) } else { Condition::default() },
        is_new: is_new(&asked.head.headers),
    }
}

/// `POST /folder/?mkdir` with a form that says the name, as the page does it.
pub(super) async fn make_folder(asked: &Asked, uploads: Arc<Uploads>, body: Body) -> Answer {
    let form = collect(body, NAME).await.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let name = form_urlencoded::parse(&form).find(|(name, _)| name == "name").map(|(_, value)| value.into_owned());
    let name = name.filter(|name| !name.is_empty()).ok_or(bad("the form has no name for the folder"))?;
    make(&uploads, &asked.root, &asked.place.join(name.as_bytes())).await?;
    Ok(done(asked, format!("{name}: made\n")))
}

/// A new folder, and those on the way.
pub(super) async fn make(uploads: &Arc<Uploads>, root: &Arc<Root>, place: &Place) -> Answer {
    let (uploads, root, place) = (uploads.clone(), root.clone(), place.clone());
    blocking(move || {
        let target = Target::of(&uploads, &root, &place, true)?;
        match uploads.make(&target.folder, &target.name) {
            Ok((_, true)) => Ok(()),
            Ok((_, false)) => Err(target.is_there()),
            // What is no folder is there just as well.
            Err(_) if target.folder.status(&target.name).is_ok_and(|there| there.is_some()) => Err(target.is_there()),
            Err(error) => Err(refused(&error, "the folder cannot be made")),
        }
    })
    .await?;
    Ok(bare(StatusCode::CREATED))
}

/// A browser without scripts goes back to the list, which shows what came of it.
fn done(asked: &Asked, said: String) -> http::Response<Body> {
    if accepts(&asked.head.headers, "text/html") {
        return with(bare(StatusCode::SEE_OTHER), LOCATION, HeaderValue::from_static("./"));
    }
    text(StatusCode::CREATED, said)
}
