//! `hullo serve json tcp://:8020 http://:8021`: answers any JSON value; JSON-RPC 2.0 where it is asked for.
//!
//! `{"a":1}` is answered with `{"status":"success","message":"received","data":{"a":1}}`. No newline is needed. An object
//! with `"jsonrpc":"2.0"` is a call, and an array of those a batch; there are the methods of the specification's own
//! examples (`subtract`, `sum`, `get_data`), `echo` and `ping`.

use std::sync::Arc;

use serde_json::{Value, json, value::RawValue};

use super::{Answer, Needs, Reply, Spec};
use crate::{
    error::{Error, Result},
    framing,
    message::Message,
    peer::Peer,
};

/// This service's line of the table.
pub const SPEC: Spec = Spec {
    name: "json",
    about: "answers any JSON value, and JSON-RPC 2.0",
    sample: r#"{"name":"Ada"}"#,
    takes: &[],
    needs: Needs::Nothing,
    make: |_| Ok(Arc::new(Answer(Json))),
};

/// The JSON service.
pub struct Json;

impl Reply for Json {
    async fn reply(&self, message: Message, _: &Peer) -> Result<Option<Message>> {
        let text =
            std::str::from_utf8(&message.bytes).map_err(|error| Error::usage("this is not UTF-8").because(error))?;
        if text.trim().is_empty() {
            return Err(Error::usage("there is nothing: send a JSON value"));
        }
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|error| Error::usage("this is not JSON").because(error))?;
        // Only what may be a call is looked into; everything else is given back to the letter.
        if text.contains("jsonrpc") {
            let value: Value =
                serde_json::from_str(text).map_err(|error| Error::usage("this is not JSON").because(error))?;
            if is_call(&value) {
                return Ok(rpc(value).map(|answer| Message::text(answer.to_string())));
            }
        }
        Ok(Some(Message::text(format!(r#"{{"status":"success","message":"received","data":{}}}"#, raw.get()))))
    }

    fn framing(&self) -> &'static framing::Spec {
        &framing::json::SPEC
    }

    fn content_type(&self) -> &'static str {
        "application/json"
    }

    fn refusal(&self, error: &Error) -> Message {
        Message::text(json!({ "status": "error", "message": error.to_string() }).to_string())
    }
}

fn is_call(value: &Value) -> bool {
    match value {
        Value::Object(call) => call.get("jsonrpc").is_some_and(|version| version == "2.0"),
        Value::Array(batch) => batch.iter().any(is_call),
        _ => false,
    }
}

/// The answer to a call or a batch; nothing where there were only notifications.
fn rpc(value: Value) -> Option<Value> {
    match value {
        Value::Array(batch) => {
            let answers: Vec<_> = batch.into_iter().filter_map(call).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        one => call(one),
    }
}

fn call(request: Value) -> Option<Value> {
    let id = request.get("id").cloned();
    let id_is_good = matches!(id, None | Some(Value::Null | Value::String(_) | Value::Number(_)));
    let method = request.get("method").and_then(Value::as_str);
    let params = request.get("params");
    let params_are_good = matches!(params, None | Some(Value::Array(_) | Value::Object(_)));
    let is_call = request.get("jsonrpc").is_some_and(|version| version == "2.0");
    let (Some(method), true, true, true) = (method, id_is_good, params_are_good, is_call) else {
        let id = id.filter(|_| id_is_good).unwrap_or(Value::Null);
        return Some(fault(id, -32600, "Invalid Request"));
    };
    let answer = invoke(method, params.unwrap_or(&Value::Null));
    let id = id?;
    Some(match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "result": result, "id": id }),
        Err((code, message)) => fault(id, code, message),
    })
}

fn fault(id: Value, code: i32, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "error": { "code": code, "message": message }, "id": id })
}

type Fault = (i32, &'static str);

fn invoke(method: &str, params: &Value) -> Result<Value, Fault> {
    const PARAMS: Fault = (-32602, "Invalid params");
    match method {
        "echo" => Ok(params.clone()),
        "ping" => Ok(json!("pong")),
        "get_data" => Ok(json!(["hello", 5])),
        "subtract" => {
            let (a, b) = match params {
                Value::Object(named) => (named.get("minuend"), named.get("subtrahend")),
                listed => (listed.get(0), listed.get(1)),
            };
            let (a, b) = (a.ok_or(PARAMS)?, b.ok_or(PARAMS)?);
            total(&[a.clone(), b.clone()], |a, b| a.checked_sub(b), |a, b| a - b).ok_or(PARAMS)
        }
        "sum" => {
            let terms = params.as_array().ok_or(PARAMS)?;
            let zero = std::iter::once(json!(0)).chain(terms.iter().cloned()).collect::<Vec<_>>();
            total(&zero, |a, b| a.checked_add(b), |a, b| a + b).ok_or(PARAMS)
        }
        _ => Err((-32601, "Method not found")),
    }
}

/// Folds numbers: as integers where all of them are and fit, otherwise as floats.
fn total(terms: &[Value], exact: fn(i64, i64) -> Option<i64>, float: fn(f64, f64) -> f64) -> Option<Value> {
    let integers: Option<Vec<i64>> = terms.iter().map(Value::as_i64).collect();
    let whole = integers.and_then(|all| all.iter().copied().map(Some).reduce(|a, b| exact(a?, b?)).flatten());
    let floats = || terms.iter().map(Value::as_f64).collect::<Option<Vec<_>>>()?.into_iter().reduce(float);
    whole.map(Value::from).or_else(|| floats().map(Value::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification's section 7, in its order.
    #[test]
    fn the_specifications_examples_are_answered() {
        for (question, answer) in [
            (
                r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
                r#"{"jsonrpc":"2.0","result":19,"id":1}"#,
            ),
            (
                r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
                r#"{"jsonrpc":"2.0","result":19,"id":3}"#,
            ),
            (r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#, "null"),
            (
                r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
                r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":"1"}"#,
            ),
            (
                r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
                r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}"#,
            ),
            (
                r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}, {"foo": "boo"}, {"jsonrpc": "2.0", "method": "get_data", "id": "9"}]"#,
                r#"[{"jsonrpc":"2.0","result":7,"id":"1"},{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null},{"jsonrpc":"2.0","result":["hello",5],"id":"9"}]"#,
            ),
            (r#"[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]}]"#, "null"),
        ] {
            let value: Value = serde_json::from_str(question).unwrap();
            assert!(is_call(&value), "{question}");
            assert_eq!(rpc(value).unwrap_or(Value::Null).to_string(), answer, "{question}");
        }
    }

    #[test]
    fn large_numbers_do_not_overflow() {
        let value = json!({ "jsonrpc": "2.0", "method": "sum", "params": [i64::MAX, 1], "id": 1 });
        assert_eq!(rpc(value).unwrap()["result"], json!(i64::MAX as f64 + 1.0));
    }
}
