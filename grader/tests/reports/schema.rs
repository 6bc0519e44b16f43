//! As much of JSON Schema as `report.schema.json` uses. A keyword that is not known here is an error, so that the schema
//! cannot promise what nobody checks.

use serde_json::{Map, Value};

pub struct Schema {
    root: Value,
}

impl Schema {
    /// The schema that the project publishes.
    pub fn read() -> Self {
        let text = include_str!("../../report.schema.json");
        Self { root: serde_json::from_str(text).expect("the schema is JSON") }
    }

    /// Where and how a value does not fit.
    pub fn complaints(&self, value: &Value) -> Vec<String> {
        let mut complaints = Vec::new();
        self.check(&self.root, value, "report", &mut complaints);
        complaints
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut complaints = Vec::new();
        self.check(schema, value, "", &mut complaints);
        complaints.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, place: &str, complaints: &mut Vec<String>) {
        let rules = schema.as_object().expect("a schema is an object");
        for (keyword, rule) in rules {
            let fine = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "const" => rule == value,
                "enum" => rule.as_array().expect("a list").contains(value),
                "type" => has_type(rule, value),
                "minimum" => {
                    value.as_u64().is_some_and(|number| rule.as_u64().is_some_and(|least| number >= least))
                }
                "anyOf" => rule.as_array().expect("a list").iter().any(|schema| self.fits(schema, value)),
                "required" => required(rule, value),
                "$ref" => {
                    let path = rule.as_str().expect("a path").trim_start_matches('#');
                    let target = self.root.pointer(path).expect("a definition");
                    self.check(target, value, place, complaints);
                    true
                }
                "items" => {
                    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{place}[{at}]"), complaints);
                    }
                    true
                }
                "properties" => {
                    for (name, schema) in rule.as_object().expect("an object") {
                        if let Some(member) = value.get(name) {
                            self.check(schema, member, &format!("{place}.{name}"), complaints);
                        }
                    }
                    true
                }
                "additionalProperties" => self.further(rules, rule, value, place, complaints),
                _ => panic!("the schema uses {keyword}, which this test does not check"),
            };
            if !fine {
                complaints.push(format!("{place}: {keyword} {rule} does not hold for {value}"));
            }
        }
    }

    /// Members that `properties` does not name.
    fn further(
        &self,
        rules: &Map<String, Value>,
        rule: &Value,
        value: &Value,
        place: &str,
        complaints: &mut Vec<String>,
    ) -> bool {
        let known = rules.get("properties").and_then(Value::as_object);
        let members = value.as_object().into_iter().flatten();
        for (name, member) in members.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)))
        {
            if rule == &Value::Bool(false) {
                complaints.push(format!("{place}.{name}: not in the schema"));
            } else {
                self.check(rule, member, &format!("{place}.{name}"), complaints);
            }
        }
        true
    }
}

fn required(rule: &Value, value: &Value) -> bool {
    let names = rule.as_array().expect("a list").iter().filter_map(Value::as_str);
    names.into_iter().all(|name| value.get(name).is_some())
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        _ => panic!("the schema uses the type {name}, which this test does not check"),
    };
    match rule {
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => is(rule.as_str().expect("a type's name")),
    }
}
