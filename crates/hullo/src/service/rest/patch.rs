//! JSON Patch (RFC 6902): read from a body, and applied to an item.

use http::StatusCode;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchErrorKind, PatchOperation, RemoveOperation, ReplaceOperation,
    TestOperation, jsonptr::PointerBuf, patch_unsafe,
};
use serde_json::Value;

use super::{
    edit::shallow,
    item::{Item, Object},
    problem::{Answer, Problem},
};

/// The most operations of a patch.
const OPERATIONS: usize = 1000;

/// How many times the largest item a patch may copy and move in all.
const CARRIED: usize = 4;

/// Reads a patch. (The crate's own way goes through serde's tagged enums, which lose the spelling of numbers, and refuse
/// the larger ones.)
pub(crate) fn read(patch: Value) -> Answer<Vec<PatchOperation>> {
    let Value::Array(operations) = patch else {
        return Err(Problem::unfit("a JSON Patch is an array of operations (RFC 6902)"));
    };
    if operations.len() > OPERATIONS {
        return Err(Problem::unfit(format!("a patch has at most {OPERATIONS} operations")));
    }
    let read = |(at, value)| {
        operation(value).map_err(|why| Problem::unfit("this is no JSON Patch (RFC 6902)").at(format!("/{at}"), why))
    };
    operations.into_iter().enumerate().map(read).collect()
}

fn operation(value: Value) -> Result<PatchOperation, String> {
    let Value::Object(mut members) = value else { return Err("an operation is an object".to_owned()) };
    let path = pointer(&members, "path")?;
    let from = |members: &Object| pointer(members, "from");
    let op = members.get("op").and_then(Value::as_str).map(str::to_owned).ok_or("there is no op")?;
    let mut value = || members.remove("value").ok_or_else(|| format!("{op} needs a value"));
    Ok(match op.as_str() {
        "add" => PatchOperation::Add(AddOperation { path, value: value()? }),
        "replace" => PatchOperation::Replace(ReplaceOperation { path, value: value()? }),
        "test" => PatchOperation::Test(TestOperation { path, value: value()? }),
        "remove" => PatchOperation::Remove(RemoveOperation { path }),
        "copy" => PatchOperation::Copy(CopyOperation { path, from: from(&members)? }),
        "move" => PatchOperation::Move(MoveOperation { path, from: from(&members)? }),
        other => return Err(format!("no operation is called '{}'", crate::error::brief(other))),
    })
}

fn pointer(members: &Object, name: &str) -> Result<PointerBuf, String> {
    let text = members.get(name).and_then(Value::as_str).ok_or_else(|| format!("there is no {name}"))?;
    PointerBuf::parse(text).map_err(|_| format!("{name} is no JSON Pointer (RFC 6901)"))
}

/// The item after a patch. The one writer does this, so it takes no longer than its parts are large: what is copied or
/// moved counts (twenty copies of the whole, each into the next, would be a million), and only what is put somewhere is
/// looked at for how deep it is.
pub(crate) fn applied(item: &Item, patch: &[PatchOperation], max: usize) -> Answer<Value> {
    let mut value = Value::Object(item.object()?);
    let mut carried = 0;
    for (at, operation) in patch.iter().enumerate() {
        if let Some(part) = put(&value, operation) {
            shallow(part, operation.path().count())?;
            if matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_)) {
                carried += part.to_string().len();
            }
        }
        if carried > max.saturating_mul(CARRIED) {
            return Err(Problem::too_large(format!(
                "the patch copies and moves more than {CARRIED} times {max} bytes"
            )));
        }
        patch_unsafe(&mut value, std::slice::from_ref(operation)).map_err(|error| {
            let why = match error.kind {
                PatchErrorKind::TestFailed => format!("{} is another value", error.path),
                kind => format!("{}: {kind}", error.path),
            };
            // As RFC 5789, section 2.2, has it where a patch takes something to be there that is not.
            Problem::new(StatusCode::CONFLICT, "the patch does not fit the item: nothing was changed")
                .at(format!("/{at}"), why)
        })?;
    }
    Ok(value)
}

/// What an operation puts at its path.
fn put<'a>(value: &'a Value, operation: &'a PatchOperation) -> Option<&'a Value> {
    match operation {
        PatchOperation::Add(add) => Some(&add.value),
        PatchOperation::Replace(replace) => Some(&replace.value),
        PatchOperation::Copy(copy) => value.pointer(copy.from.as_str()),
        PatchOperation::Move(from) => value.pointer(from.from.as_str()),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    }
}
