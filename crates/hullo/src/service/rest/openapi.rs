//! OpenAPI 3.1, written from the table of routes.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{
    foreign,
    item::{COLLECTION, ID, WHOLE},
    problem::PROBLEM,
    query::{FIELD, FIELDS, KEYS, LIMIT, MOST, OPERATORS, RESERVED, SEARCH},
    route::{MERGE, Operation, PATCH, ROUTES, Reply, Route, SCHEMA},
};

/// The description, which is the same for every database.
pub(super) fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "hullo serve rest",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Collections and items of JSON. A collection is there as soon as it has an item. What was answered is durable.",
            },
            "servers": [{ "url": "/" }],
            "paths": ROUTES.iter().map(|route| (route.template.to_owned(), path(route))).collect::<Map<_, _>>(),
            "components": { "schemas": schemas(), "headers": headers() },
        })
    });
    &DOCUMENT
}

fn path(route: &Route) -> Value {
    let mut path: Map<String, Value> = route
        .operations
        .iter()
        .map(|operation| (operation.method.as_str().to_ascii_lowercase(), described(route, operation)))
        .collect();
    let names = [("collection", COLLECTION), ("id", ID)].into_iter().filter(|(name, _)| has(route, name));
    let parameters: Vec<_> = names
        .map(|(name, pattern)| {
            json!({
                "name": name, "in": "path", "required": true, "schema": { "type": "string", "pattern": pattern }
            })
        })
        .collect();
    path.insert("parameters".to_owned(), Value::Array(parameters));
    Value::Object(path)
}

fn has(route: &Route, name: &str) -> bool {
    route.template.contains(&format!("{{{name}}}"))
}

fn described(route: &Route, operation: &Operation) -> Value {
    let id = format!("{:?}", operation.does);
    let mut described = json!({
        "operationId": id[..1].to_ascii_lowercase() + &id[1..],
        "summary": operation.about,
        "responses": responses(route, operation),
    });
    // A condition is HTTP's own and no parameter of this operation: a random one would only ever say no.
    let (conditions, parameters): (Vec<_>, Vec<_>) = operation.takes.iter().partition(|name| name.starts_with("If-"));
    if !conditions.is_empty() {
        described["description"] =
            format!("Conditional requests (RFC 9110, section 13): {}.", conditions.join(", ")).into();
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into_iter().map(parameter).collect();
    }
    if !operation.reads.is_empty() {
        let content =
            operation.reads.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": body(operation, kind) })));
        described["requestBody"] = json!({ "required": true, "content": content.collect::<Map<_, _>>() });
    }
    described
}

/// What a request's body is like.
fn body(operation: &Operation, kind: &str) -> Value {
    use super::route::Does;
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    match (operation.does, kind) {
        (_, PATCH) => named("Patch"),
        (_, MERGE) | (Does::Put | Does::Patch, _) => named("Object"),
        (Does::Import, super::route::JSON) => json!({ "type": "array", "items": named("NewItem") }),
        (Does::Import, _) => json!({ "type": "string", "description": "A line of JSON for each item" }),
        (Does::PutSchema, _) => named("Schema"),
        _ => named("NewItem"),
    }
}

/// The answers of an operation: its own, and those that come with what it takes.
fn responses(route: &Route, operation: &Operation) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for reply in operation.answers {
        all.insert(
            reply.status.to_string(),
            if reply.status >= 400 { problem(reply.about, &[]) } else { answer(reply) },
        );
    }
    let writes = operation.method != http::Method::GET;
    let bodied = !operation.reads.is_empty();
    let accept = if operation.method == http::Method::PATCH {
        "Accept-Patch"
    } else if operation.method == http::Method::POST {
        "Accept-Post"
    } else {
        "Accept"
    };
    let others: &[(u16, bool, &str, &[&str])] = &[
        (400, has(route, "collection") || bodied, "A name, a parameter or the body cannot be read", &[]),
        (408, bodied, "The body came too slowly", &[]),
        (412, operation.takes.contains(&"If-Match"), "It is another version than the condition says", &[]),
        (413, bodied, "The body, or the item, is larger than the server takes", &[]),
        (415, bodied, "The body is of another type", &[accept]),
        (422, bodied, "The body is JSON, but not what may be kept", &[]),
        (429, true, "More requests than one peer may make", &["Retry-After"]),
        (500, true, "The database failed", &[]),
        (503, writes, "More writes wait than are taken", &["Retry-After"]),
        (507, writes, "The disk is full", &[]),
    ];
    for (status, may_be, about, headers) in others {
        if *may_be {
            all.entry(status.to_string()).or_insert_with(|| problem(about, headers));
        }
    }
    all.sort_keys();
    Value::Object(all)
}

fn answer(reply: &Reply) -> Value {
    let mut answer = json!({ "description": reply.about });
    if !reply.body.is_empty() {
        let content = reply.body.iter().map(|(kind, schema)| {
            ((*kind).to_owned(), json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } }))
        });
        answer["content"] = Value::Object(content.collect());
    }
    add_headers(&mut answer, reply.headers);
    answer
}

fn problem(about: &str, headers: &[&str]) -> Value {
    let mut problem = json!({
        "description": about,
        "content": { PROBLEM: { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    add_headers(&mut problem, headers);
    problem
}

fn add_headers(answer: &mut Value, headers: &[&str]) {
    for name in headers {
        answer["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
}

/// Every header of an answer that a client may want to read.
fn headers() -> Value {
    let header = |required: bool, about: &str, schema: Value| json!({ "description": about, "required": required, "schema": schema });
    let text = || json!({ "type": "string" });
    json!({
        "Accept": header(false, "The types that a body may have", text()),
        "Accept-Patch": header(false, "The types that a patch may have", text()),
        "Accept-Post": header(false, "The types that a body may have", text()),
        "ETag": header(true, "The version: another one after each change", json!({ "type": "string", "pattern": "^\"[0-9]+\"$" })),
        "Last-Modified": header(true, "When it was changed last", text()),
        "Link": header(false, "The next page, as rel=\"next\" (RFC 8288); at / this description", text()),
        "Location": header(true, "Where it is", text()),
        "Retry-After": header(true, "Seconds", json!({ "type": "integer", "minimum": 0 })),
        "X-Total-Count": header(false, "How many items all pages have", json!({ "type": "integer", "minimum": 0 })),
    })
}

fn parameter(name: &str) -> Value {
    let query =
        |about: &str, schema: Value| json!({ "name": name, "in": "query", "description": about, "schema": schema });
    let path = "[^.,\\u0000]+(\\.[^.,\\u0000]+)*";
    let list = |sign: &str, most: usize| json!({ "type": "string", "maxLength": FIELD, "pattern": format!("^{sign}{path}(,{sign}{path}){{0,{}}}$", most - 1) });
    match name {
        "filter" => filter(),
        "sort" => query("The fields to sort by, with - before one for the greatest first", list("-?", KEYS)),
        "fields" => query("The fields that are wanted; the id always is", list("", FIELDS)),
        "limit" => {
            query("How many items", json!({ "type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT }))
        }
        "cursor" => query("Where the page begins: from the link of the page before", json!({ "type": "string" })),
        "q" => query(
            "Words that are all in the item's texts; the last one, or word*, may be the beginning of one",
            json!({ "type": "string", "maxLength": SEARCH }),
        ),
        "count" => query("Whether X-Total-Count is wanted", json!({ "type": "boolean", "default": false })),
        "after" => query(
            "The number of the change after which to begin; 0 for all that is there",
            json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
        ),
        "on-conflict" => query(
            "What happens where an item is there already",
            json!({ "enum": ["fail", "skip", "replace"], "default": "fail" }),
        ),
        _ => json!({
            "name": name,
            "in": "header",
            "description": "The number of the last change that was seen; it counts more than after",
            "schema": { "type": "integer", "minimum": 0, "maximum": i64::MAX },
        }),
    }
}

/// Filters are parameters of any name, which OpenAPI says by an object that is spread out.
fn filter() -> Value {
    let operators =
        OPERATORS.iter().map(|(word, _, about)| format!("field:{word}=value (it {about})")).collect::<Vec<_>>();
    let words = OPERATORS.iter().map(|(word, ..)| *word).collect::<Vec<_>>().join("|");
    let reserved: Vec<_> = RESERVED.iter().copied().chain(foreign::names()).collect();
    json!({
        "name": "filter",
        "in": "query",
        "style": "form",
        "explode": true,
        "description": format!("field=value, or with an operator: {}. Dots lead into objects. All of them must hold. A field whose name begins with _, ends like an operator (_gte) or is a usual parameter's (page) needs one.", operators.join(", ")),
        "schema": {
            "type": "object",
            "propertyNames": {
                "pattern": format!("^[A-Za-z_][A-Za-z0-9_]{{0,30}}(\\.[A-Za-z_][A-Za-z0-9_]{{0,30}})?(:({words}))?$"),
                "not": { "anyOf": [{ "enum": reserved }, { "pattern": foreign::pattern() }] },
            },
            "additionalProperties": { "type": "string", "maxLength": 100, "pattern": "^[^\\x00]*$" },
            "maxProperties": 8,
        },
    })
}

fn schemas() -> Value {
    let id = json!({ "type": ["string", "integer"], "pattern": ID, "minimum": 0, "maximum": WHOLE });
    let pointer = json!({ "type": "string", "pattern": "^(/([^/~]|~[01])*)*$" });
    let operation = |op: Value, more: &str| {
        let mut operation =
            json!({ "type": "object", "required": ["op", "path"], "properties": { "op": op, "path": pointer } });
        if !more.is_empty() {
            operation["required"] = json!(["op", "path", more]);
            operation["properties"][more] = if more == "from" { pointer.clone() } else { json!({}) };
        }
        operation
    };
    let change = |event: &str, item: &str| {
        json!({
            "type": "object",
            "required": ["change", "event", "item"],
            "properties": { "change": { "type": "integer" }, "event": { "const": event }, "item": { "$ref": format!("#/components/schemas/{item}") } },
        })
    };
    let number = json!({ "type": "integer", "minimum": 0 });
    let within = |deeper: Value| json!({ "type": ["object", "boolean"], "properties": { "if": deeper, "then": deeper, "else": deeper } });
    let subschema = within(within(json!({ "type": ["object", "boolean"] })));
    json!({
        "Object": { "type": "object" },
        "Page": { "type": "string" },
        "NewItem": { "type": "object", "properties": { "id": id } },
        "Item": { "type": "object", "properties": { "id": id }, "required": ["id"] },
        "Items": { "type": "array", "items": { "$ref": "#/components/schemas/Item" } },
        // Of all keywords these are the words that somebody may use by chance.
        "Schema": {
            "type": "object",
            "description": format!("A JSON Schema, draft 2020-12, as {SCHEMA}. Nothing is fetched for it."),
            "properties": { "if": subschema, "then": subschema, "else": subschema },
        },
        "Patch": {
            "type": "array",
            "items": { "oneOf": [
                operation(json!({ "enum": ["add", "replace", "test"] }), "value"),
                operation(json!({ "enum": ["copy", "move"] }), "from"),
                operation(json!({ "const": "remove" }), ""),
            ] },
        },
        "Imported": {
            "type": "object",
            "required": ["made", "replaced", "skipped"],
            "properties": { "made": number, "replaced": number, "skipped": number },
        },
        "Changes": {
            "type": "object",
            "required": ["after", "reset", "changes"],
            "properties": {
                "after": { "type": "integer", "description": "Where to go on" },
                "reset": { "type": "boolean", "description": "Removals were forgotten: begin again with a list" },
                "changes": { "type": "array", "items": { "oneOf": [change("put", "Item"), change("delete", "Item")] } },
            },
        },
        "Collections": {
            "type": "object",
            "required": ["collections"],
            "properties": {
                "collections": { "type": "array", "items": {
                    "type": "object",
                    "required": ["name", "items"],
                    "properties": { "name": { "type": "string", "pattern": COLLECTION }, "items": number },
                } },
            },
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": { "type": "string" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "errors": { "type": "array", "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": { "pointer": { "type": "string" }, "detail": { "type": "string" } },
                } },
            },
        },
    })
}
