//! Values of components and JSON, each turned into the other.
//!
//! The rules are those of `wit/libos.wit`: dashes are underscores, an absent option is an absent
//! field, an enum or a variant without a payload is its name, a variant with one an object of one
//! field, a list of pairs that begin with a text is an object, and the record `json` is any JSON.
//! What a component says its types are directs both ways, so that one that was built against
//! an older table still fits. All of it is hostile: what is made of a reply is counted.

use serde_json::{Map, Number, Value};
use wasmtime::component::{Type, Val};

/// A value that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// It is of another type.
    #[error("{0}")]
    Type(String),
    /// It would be too large.
    #[error("it would be too large")]
    Large,
}

fn unfit<T>(what: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit::Type(what.into()))
}

/// The name of the record that is any JSON, as its only field.
const JSON: &str = "json";

/// A name as the tables have it.
pub(crate) fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// What a component handed over, as JSON.
pub(crate) fn to_json(value: &Val) -> Result<Value, Unfit> {
    Ok(match value {
        Val::Bool(value) => Value::Bool(*value),
        Val::S8(value) => (*value).into(),
        Val::U8(value) => (*value).into(),
        Val::S16(value) => (*value).into(),
        Val::U16(value) => (*value).into(),
        Val::S32(value) => (*value).into(),
        Val::U32(value) => (*value).into(),
        Val::S64(value) => (*value).into(),
        Val::U64(value) => (*value).into(),
        Val::Float32(value) => number(f64::from(*value))?,
        Val::Float64(value) => number(*value)?,
        Val::Char(value) => value.to_string().into(),
        Val::String(text) => text.clone().into(),
        Val::List(items) => list(items)?,
        Val::Record(fields) => match fields.as_slice() {
            [(name, Val::String(text))] if name == JSON => any_json(text)?,
            fields => object(fields.iter().map(|(name, value)| (name.as_str(), value)))?,
        },
        Val::Enum(name) | Val::Variant(name, None) => snake(name).into(),
        Val::Variant(name, Some(payload)) => {
            Value::Object(Map::from_iter([(snake(name), to_json(payload)?)]))
        }
        Val::Option(None) => Value::Null,
        Val::Option(Some(value)) => to_json(value)?,
        _ => return unfit("a value of a type that no call takes"),
    })
}

/// Named values as an object; what is absent is left out.
pub(crate) fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a Val)>) -> Result<Value, Unfit> {
    let mut map = Map::new();
    for (name, value) in fields {
        if !matches!(value, Val::Option(None)) {
            map.insert(snake(name), to_json(value)?);
        }
    }
    Ok(Value::Object(map))
}

fn list(items: &[Val]) -> Result<Value, Unfit> {
    let pair = |item: &Val| match item {
        Val::Tuple(pair) => match pair.as_slice() {
            [Val::String(key), value] => Some((key.clone(), value.clone())),
            _ => None,
        },
        _ => None,
    };
    let pairs: Option<Vec<(String, Val)>> = items.iter().map(pair).collect();
    match pairs {
        Some(pairs) if !pairs.is_empty() => {
            let fields = pairs.iter().map(|(key, value)| Ok((key.clone(), to_json(value)?)));
            Ok(Value::Object(fields.collect::<Result<_, Unfit>>()?))
        }
        _ => Ok(Value::Array(items.iter().map(to_json).collect::<Result<_, Unfit>>()?)),
    }
}

fn number(value: f64) -> Result<Value, Unfit> {
    match Number::from_f64(value) {
        Some(number) => Ok(Value::Number(number)),
        None => unfit("a number that JSON does not have"),
    }
}

fn any_json(text: &str) -> Result<Value, Unfit> {
    serde_json::from_str(text).or_else(|error| unfit(format!("a text that is no JSON: {error}")))
}

/// JSON as a value of a type. `left` is how many values may still be made.
pub(crate) fn from_json(value: &Value, ty: &Type, left: &mut usize) -> Result<Val, Unfit> {
    *left = left.checked_sub(1).ok_or(Unfit::Large)?;
    let whole = || value.as_i64().ok_or_else(|| wrong("a whole number", value));
    let natural = || value.as_u64().ok_or_else(|| wrong("a natural number", value));
    let small = || wrong("a smaller number", value);
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(|| wrong("a boolean", value))?),
        Type::S8 => Val::S8(whole()?.try_into().map_err(|_| small())?),
        Type::U8 => Val::U8(natural()?.try_into().map_err(|_| small())?),
        Type::S16 => Val::S16(whole()?.try_into().map_err(|_| small())?),
        Type::U16 => Val::U16(natural()?.try_into().map_err(|_| small())?),
        Type::S32 => Val::S32(whole()?.try_into().map_err(|_| small())?),
        Type::U32 => Val::U32(natural()?.try_into().map_err(|_| small())?),
        Type::S64 => Val::S64(whole()?),
        Type::U64 => Val::U64(natural()?),
        Type::Float64 => Val::Float64(value.as_f64().ok_or_else(|| wrong("a number", value))?),
        Type::String => Val::String(text(value)?),
        Type::List(list) => items(value, &list.ty(), left)?,
        Type::Record(record) => {
            let names: Vec<&str> = record.fields().map(|field| field.name).collect();
            if names == [JSON] {
                return Ok(Val::Record(vec![(JSON.into(), Val::String(value.to_string()))]));
            }
            let fields = record.fields().map(|field| {
                let found = value.get(snake(field.name)).unwrap_or(&Value::Null);
                Ok((field.name.to_owned(), from_json(found, &field.ty, left)?))
            });
            Val::Record(fields.collect::<Result<_, Unfit>>()?)
        }
        Type::Enum(ty) => Val::Enum(case(&text(value)?, ty.names())?),
        Type::Variant(ty) => variant(value, ty, left)?,
        Type::Option(ty) => match value {
            Value::Null => Val::Option(None),
            value => Val::Option(Some(Box::new(from_json(value, &ty.ty(), left)?))),
        },
        _ => return unfit("a type that no reply has"),
    })
}

fn wrong(what: &str, value: &Value) -> Unfit {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Unfit::Type(format!("it takes {what} where the reply has {found}"))
}

fn text(value: &Value) -> Result<String, Unfit> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong("a text", value))
}

/// A list, or an object as a list of pairs.
fn items(value: &Value, of: &Type, left: &mut usize) -> Result<Val, Unfit> {
    match (value, of) {
        (Value::Array(items), of) => {
            let items = items.iter().map(|item| from_json(item, of, left));
            Ok(Val::List(items.collect::<Result<_, Unfit>>()?))
        }
        (Value::Object(fields), Type::Tuple(pair)) => {
            let types: Vec<Type> = pair.types().collect();
            let [Type::String, of] = types.as_slice() else {
                return Err(wrong("a list", value));
            };
            let pairs = fields.iter().map(|(key, item)| {
                Ok(Val::Tuple(vec![Val::String(key.clone()), from_json(item, of, left)?]))
            });
            Ok(Val::List(pairs.collect::<Result<_, Unfit>>()?))
        }
        _ => Err(wrong("a list", value)),
    }
}

/// The name of a case as the component has it.
fn case<'a>(found: &str, mut names: impl Iterator<Item = &'a str>) -> Result<String, Unfit> {
    match names.find(|name| snake(name) == found) {
        Some(name) => Ok(name.to_owned()),
        None => unfit(format!("it does not know the case `{found}`")),
    }
}

fn variant(
    value: &Value,
    ty: &wasmtime::component::types::Variant,
    left: &mut usize,
) -> Result<Val, Unfit> {
    let (found, payload) = match value {
        Value::String(name) => (name.as_str(), None),
        Value::Object(fields) => match fields.iter().next() {
            Some((name, payload)) => (name.as_str(), Some(payload)),
            None => return Err(wrong("a case", value)),
        },
        _ => return Err(wrong("a case", value)),
    };
    let name = case(found, ty.cases().map(|case| case.name))?;
    let of = ty.cases().find(|case| case.name == name).and_then(|case| case.ty);
    match (of, payload) {
        (None, _) => Ok(Val::Variant(name, None)),
        (Some(of), Some(payload)) => {
            Ok(Val::Variant(name, Some(Box::new(from_json(payload, &of, left)?))))
        }
        (Some(_), None) => Err(wrong("a case with a payload", value)),
    }
}
