//! The table of paths and methods: requests are routed by it, and OpenAPI is written from it.

use http::Method;
use percent_encoding::percent_decode_str;

use super::{
    item::{is_collection, is_id},
    problem::{Answer, Problem},
};

/// A path, with `{collection}` and `{id}` in it, and what may be done there.
pub(crate) struct Route {
    pub(crate) template: &'static str,
    pub(crate) operations: &'static [Operation],
}

/// A method of a path.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) does: Does,
    pub(crate) about: &'static str,
    /// Parameters of the query, and headers of the request, by name.
    pub(crate) takes: &'static [&'static str],
    /// What its body may be.
    pub(crate) reads: &'static [&'static str],
    /// Statuses of its own with what they come with. Those that many have are not said here.
    pub(crate) answers: &'static [Reply],
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Overview,
    OpenApi,
    List,
    Create,
    Read,
    Put,
    Patch,
    Remove,
    Changes,
    Export,
    Import,
    ReadSchema,
    PutSchema,
    RemoveSchema,
}

/// One answer of an operation.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) about: &'static str,
    /// Types of its body, each with the name of a schema of OpenAPI.
    pub(crate) body: &'static [(&'static str, &'static str)],
    pub(crate) headers: &'static [&'static str],
}

const fn reply(
    status: u16,
    about: &'static str,
    body: &'static [(&'static str, &'static str)],
    headers: &'static [&'static str],
) -> Reply {
    Reply { status, about, body, headers }
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const PATCH: &str = "application/json-patch+json";
pub(crate) const LINES: &str = "application/x-ndjson";
pub(crate) const SCHEMA: &str = "application/schema+json";
pub(crate) const EVENTS: &str = "text/event-stream";
pub(crate) const HTML: &str = "text/html";

const ITEM: &[(&str, &str)] = &[(JSON, "Item")];
const TAGS: &[&str] = &["ETag", "Last-Modified"];
const WRITTEN: &[&str] = &["If-Match", "If-None-Match", "If-Unmodified-Since"];
const READ: &[&str] = &["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"];

/// Everything there is.
pub(crate) const ROUTES: &[Route] = &[
    Route {
        template: "/",
        operations: &[Operation {
            method: Method::GET,
            does: Does::Overview,
            about: "What is here: a page for people, or the collections as JSON",
            takes: &[],
            reads: &[],
            answers: &[reply(
                200,
                "The collections, or the page where text/html is asked for",
                &[(JSON, "Collections"), (HTML, "Page")],
                &["Link"],
            )],
        }],
    },
    Route {
        template: "/openapi.json",
        operations: &[Operation {
            method: Method::GET,
            does: Does::OpenApi,
            about: "This description",
            takes: &[],
            reads: &[],
            answers: &[reply(200, "OpenAPI 3.1", &[(JSON, "Object")], &[])],
        }],
    },
    Route {
        template: "/{collection}",
        operations: &[
            Operation {
                method: Method::GET,
                does: Does::List,
                about: "Lists items: filtered, sorted, searched, page by page",
                takes: &["filter", "sort", "fields", "limit", "cursor", "q", "count", "If-Match", "If-None-Match"],
                reads: &[],
                answers: &[
                    reply(
                        200,
                        "The items of a page; a link to the next one if there is one",
                        &[(JSON, "Items")],
                        &["ETag", "Link", "X-Total-Count"],
                    ),
                    reply(304, "Nothing has changed in the collection", &[], &["ETag"]),
                    reply(404, "No page is under this cursor", &[], &[]),
                ],
            },
            Operation {
                method: Method::POST,
                does: Does::Create,
                about: "Makes an item, under an id of its own or a new one",
                takes: &[],
                reads: &[JSON],
                answers: &[
                    reply(201, "It is there, and durable", ITEM, &["ETag", "Last-Modified", "Location"]),
                    reply(409, "There is an item with that id", &[], &[]),
                ],
            },
        ],
    },
    Route {
        template: "/{collection}/{id}",
        operations: &[
            Operation {
                method: Method::GET,
                does: Does::Read,
                about: "Gives an item",
                takes: READ,
                reads: &[],
                answers: &[
                    reply(200, "The item", ITEM, TAGS),
                    reply(304, "It is as the client has it", &[], TAGS),
                    reply(404, "There is none", &[], &[]),
                ],
            },
            Operation {
                method: Method::PUT,
                does: Does::Put,
                about: "Makes an item, or puts another in its place",
                takes: WRITTEN,
                reads: &[JSON],
                answers: &[
                    reply(200, "It is in the place of another", ITEM, TAGS),
                    reply(201, "It is new", ITEM, &["ETag", "Last-Modified", "Location"]),
                ],
            },
            Operation {
                method: Method::PATCH,
                does: Does::Patch,
                about: "Changes parts of an item: by a merge patch (RFC 7396; plain JSON is one) or a JSON Patch (RFC 6902)",
                takes: WRITTEN,
                reads: &[MERGE, PATCH, JSON],
                answers: &[
                    reply(200, "The item as it is now", ITEM, TAGS),
                    reply(404, "There is none", &[], &[]),
                    reply(409, "The patch does not fit the item as it is", &[], &[]),
                ],
            },
            Operation {
                method: Method::DELETE,
                does: Does::Remove,
                about: "Removes an item",
                takes: WRITTEN,
                reads: &[],
                answers: &[reply(204, "It is gone", &[], &[]), reply(404, "There was none", &[], &[])],
            },
        ],
    },
    Route {
        template: "/{collection}/-/changes",
        operations: &[Operation {
            method: Method::GET,
            does: Does::Changes,
            about: "What has changed: as server-sent events where text/event-stream is asked for, and otherwise what there is now",
            takes: &["after", "Last-Event-ID"],
            reads: &[],
            answers: &[reply(
                200,
                "Each item's last change after that one",
                &[(JSON, "Changes"), (EVENTS, "Page")],
                &[],
            )],
        }],
    },
    Route {
        template: "/{collection}/-/export",
        operations: &[Operation {
            method: Method::GET,
            does: Does::Export,
            about: "All items, one a line",
            takes: &[],
            reads: &[],
            answers: &[reply(200, "Lines of JSON", &[(LINES, "Page")], &[])],
        }],
    },
    Route {
        template: "/{collection}/-/import",
        operations: &[Operation {
            method: Method::POST,
            does: Does::Import,
            about: "Takes many items at once, all or none: one a line, or an array; up to 100000, and 64 times as long as another body",
            takes: &["on-conflict"],
            reads: &[LINES, JSON],
            answers: &[
                reply(200, "What became of them", &[(JSON, "Imported")], &[]),
                reply(409, "One is there already, and on-conflict is fail", &[], &[]),
            ],
        }],
    },
    Route {
        template: "/{collection}/-/schema",
        operations: &[
            Operation {
                method: Method::GET,
                does: Does::ReadSchema,
                about: "Gives the JSON Schema that items are held against",
                takes: READ,
                reads: &[],
                answers: &[
                    reply(200, "The schema", &[(SCHEMA, "Object")], TAGS),
                    reply(304, "It is as the client has it", &[], TAGS),
                    reply(404, "There is none", &[], &[]),
                ],
            },
            Operation {
                method: Method::PUT,
                does: Does::PutSchema,
                about: "Sets the JSON Schema (draft 2020-12) of what is written from now on",
                takes: WRITTEN,
                reads: &[SCHEMA, JSON],
                answers: &[
                    reply(200, "It is in the place of another", &[(SCHEMA, "Object")], TAGS),
                    reply(201, "It is new", &[(SCHEMA, "Object")], &["ETag", "Last-Modified", "Location"]),
                ],
            },
            Operation {
                method: Method::DELETE,
                does: Does::RemoveSchema,
                about: "Removes the schema",
                takes: WRITTEN,
                reads: &[],
                answers: &[reply(204, "It is gone", &[], &[]), reply(404, "There was none", &[], &[])],
            },
        ],
    },
];

/// The names in a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) collection: String,
    pub(crate) id: String,
}

/// The route of a path, and the names in it.
pub(crate) fn find(path: &str) -> Answer<(&'static Route, Names)> {
    let nothing = || Problem::missing("there is nothing under this path: / shows what there is");
    let found = ROUTES.iter().find_map(|route| Some((route, names(route.template, path)?)));
    let (route, names) = found.ok_or_else(nothing)?;
    if route.template.contains("{collection}") && !is_collection(&names.collection) {
        let why = format!(
            "'{}' is no name of a collection: up to 64 letters, digits, _ and -",
            crate::error::brief(&names.collection)
        );
        return Err(Problem::bad(why));
    }
    if route.template == "/{collection}/{id}" && names.id.is_empty() {
        let collection = &names.collection;
        return Err(Problem::bad(format!(
            "there is an id to come after /{collection}/: all items are at /{collection}"
        )));
    }
    if route.template.contains("{id}") && !is_id(&names.id) {
        let why = format!("'{}' is no id: up to 128 letters, digits and . _ ~ : @ -", crate::error::brief(&names.id));
        return Err(Problem::bad(why));
    }
    Ok((route, names))
}

/// The names where a path is of that form.
fn names(template: &str, path: &str) -> Option<Names> {
    let mut names = Names::default();
    let (mut parts, mut wanted) = (path.split('/'), template.split('/'));
    loop {
        match (parts.next(), wanted.next()) {
            (None, None) => return Some(names),
            (Some(part), Some("{collection}")) => names.collection = decoded(part),
            (Some(part), Some("{id}")) => names.id = decoded(part),
            (Some(part), Some(word)) if part == word => {}
            _ => return None,
        }
    }
}

/// What is no UTF-8 is no name either.
fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

impl Route {
    /// The operation of a method. HEAD is GET without the body, which the server leaves out.
    pub(crate) fn operation(&self, method: &Method) -> Option<&'static Operation> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.operations.iter().find(|operation| operation.method == *method)
    }

    /// The methods for `Allow`.
    pub(crate) fn allow(&self) -> String {
        let mut all: Vec<_> = self.operations.iter().map(|operation| operation.method.as_str()).collect();
        if all.contains(&"GET") {
            all.push("HEAD");
        }
        all.push("OPTIONS");
        all.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_routes() {
        let template = |path: &str| find(path).map(|(route, _)| route.template);
        for (path, wanted) in [
            ("/", "/"),
            ("/openapi.json", "/openapi.json"),
            ("/people", "/{collection}"),
            ("/people/7", "/{collection}/{id}"),
            ("/p%65ople/a%40b", "/{collection}/{id}"),
            ("/people/-/schema", "/{collection}/-/schema"),
        ] {
            assert_eq!(template(path).unwrap(), wanted, "{path}");
        }
        assert_eq!(find("/p%65ople/a%40b").unwrap().1, Names { collection: "people".into(), id: "a@b".into() });
        for (path, status) in [
            ("/people/", 400),
            ("/people/-", 400),
            ("//", 400),
            ("/a%2Fb", 400),
            ("/%00", 400),
            ("/%ff/x", 400),
            ("/a/-/none", 404),
            ("/a/b/c", 404),
        ] {
            assert_eq!(template(path).unwrap_err().status, status, "{path}");
        }
    }
}
