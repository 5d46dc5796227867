//! Values that fit schemas and values that do not, as the standard's own examples and its test suite have them.

use serde_json::json;

use super::*;

fn pointers(schema: Value, value: Value) -> Vec<String> {
    match validate(&schema, &value) {
        Ok(()) => Vec::new(),
        Err(SchemaError::Data(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
        Err(SchemaError::Schema(detail)) => panic!("{detail}: {schema}"),
    }
}

#[test]
fn each_keyword_tells_what_fits_from_what_does_not() {
    for (schema, yes, no) in [
        (json!({"type": "integer"}), json!(1.0), json!(1.5)),
        (json!({"type": ["string", "null"]}), json!(null), json!(0)),
        (json!({"enum": [1, "a", {"b": []}]}), json!({"b": []}), json!({"b": [0]})),
        (json!({"const": 1}), json!(1.0), json!("1")),
        (json!({"const": false}), json!(false), json!(0)),
        (json!({"minimum": 1.1}), json!(1.1), json!(1)),
        (json!({"exclusiveMaximum": 3}), json!(2.9), json!(3)),
        (json!({"maximum": 9_007_199_254_740_992_i64}), json!(9_007_199_254_740_992_i64), json!(9_007_199_254_740_993_i64)),
        (json!({"multipleOf": 0.01}), json!(0.07), json!(0.075)),
        (json!({"minLength": 2}), json!("ää"), json!("\u{1F600}")),
        (json!({"maxLength": 1}), json!("\u{1F600}"), json!("ab")),
        (json!({"pattern": "^a+$"}), json!("aa"), json!("ab")),
        (json!({"items": {"type": "string"}, "minItems": 1}), json!(["a"]), json!([])),
        (json!({"prefixItems": [{"type": "string"}], "items": false}), json!(["a"]), json!(["a", 1])),
        (json!({"uniqueItems": true}), json!([1, true, "1"]), json!([1, 2, 1.0])),
        (json!({"contains": {"const": 5}, "minContains": 2}), json!([5, 1, 5]), json!([5, 1])),
        (json!({"required": ["a"]}), json!({"a": null}), json!({"b": 1})),
        (json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false}), json!({"a": "x"}), json!({"b": "x"})),
        (json!({"patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": false}), json!({"x-a": 1}), json!({"x-a": "1"})),
        (json!({"propertyNames": {"maxLength": 1}}), json!({"a": 1}), json!({"ab": 1})),
        (json!({"maxProperties": 1}), json!({}), json!({"a": 1, "b": 2})),
        (json!({"dependentRequired": {"card": ["address"]}}), json!({"address": 1}), json!({"card": 1})),
        (json!({"dependentSchemas": {"a": {"required": ["b"]}}}), json!({"b": 1}), json!({"a": 1})),
        (json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), json!(2), json!(3)),
        (json!({"anyOf": [{"type": "string"}, {"minimum": 2}]}), json!("x"), json!(1)),
        (json!({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}), json!(4), json!(6)),
        (json!({"not": {"type": "null"}}), json!(0), json!(null)),
        (json!({"if": {"minimum": 10}, "then": {"multipleOf": 10}, "else": {"maximum": 5}}), json!(20), json!(7)),
        (json!({"$ref": "#/$defs/a~1b%25c", "$defs": {"a/b%c": {"type": "null"}}}), json!(null), json!(1)),
        (
            json!({"$defs": {"tree": {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}}, "$ref": "#/$defs/tree"}),
            json!({"next": {"next": {}}}),
            json!({"next": {"next": 1}}),
        ),
        (json!({"properties": {"a": false}}), json!({"b": 1}), json!({"a": 1})),
    ] {
        assert_eq!(pointers(schema.clone(), yes.clone()), Vec::<String>::new(), "{schema} takes {yes}");
        assert_ne!(pointers(schema.clone(), no.clone()), Vec::<String>::new(), "{schema} refuses {no}");
    }
}

#[test]
fn errors_say_where() {
    let schema = json!({"properties": {"lines": {"items": {"properties": {"a/b": {"type": "integer"}}, "required": ["a/b"]}}}});
    let value = json!({"lines": [{"a/b": 1}, {"a/b": "x"}, {}]});
    assert_eq!(pointers(schema, value), ["/lines/1/a~1b", "/lines/2"]);
}

#[test]
fn a_keyword_of_another_type_of_value_says_nothing() {
    let schema = json!({"minimum": 5, "minLength": 5, "minItems": 5, "minProperties": 5});
    assert_eq!(pointers(schema.clone(), json!(null)), Vec::<String>::new());
    assert_eq!(pointers(schema, json!(true)), Vec::<String>::new());
}

#[test]
fn what_cannot_be_used_is_refused_and_not_overlooked() {
    for schema in [
        json!(5),
        json!({"type": "text"}),
        json!({"enum": 1}),
        json!({"minimum": "1"}),
        json!({"minLength": -1}),
        json!({"pattern": "("}),
        json!({"pattern": "(?<=a)b"}),
        json!({"required": [1]}),
        json!({"anyOf": []}),
        json!({"properties": []}),
        json!({"$ref": "https://example.com/schema"}),
        json!({"$ref": "#/$defs/none"}),
        json!({"$ref": "#"}),
        json!({"unevaluatedProperties": false}),
    ] {
        let unusable = |value: Value| matches!(validate(&schema, &value), Err(SchemaError::Schema(_)));
        assert!([json!(1), json!("x"), json!({})].into_iter().any(unusable), "{schema}");
    }
}
