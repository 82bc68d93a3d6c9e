//! `[package.metadata.toro]`: what an application's author wants when its user says nothing else.

use serde_json::Value;
use toro_vmm::Error;

const KEYS: [&str; 17] = [
    "memory", "cpus", "publish", "env", "args", "name", "machine", "accel", "net", "ip", "gateway", "ip6", "gateway6",
    "log", "power", "fault", "timeout",
];

/// `[package.metadata.toro]`, read with care: its author is not the one who runs it.
pub(crate) struct Metadata<'a>(Option<&'a serde_json::Map<String, Value>>);

impl<'a> Metadata<'a> {
    /// Checks the keys.
    pub(crate) fn new(value: Option<&'a Value>) -> Result<Self, Error> {
        let Some(value) = value else { return Ok(Self(None)) };
        let table = value.as_object().ok_or_else(|| in_metadata("it is no table"))?;
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(
                in_metadata(&format!("`{key}` is no setting")).help(format!("settings are {}", KEYS.join(", ")))
            );
        }
        Ok(Self(Some(table)))
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.0?.get(key)
    }

    /// A string, or a number as one.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(in_metadata(&format!("`{key}` must be a string or a number"))),
        }
    }

    /// What an option says, else the author; `parse` reads it.
    pub(crate) fn setting<T>(
        &self,
        option: Option<&String>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match option {
            Some(text) => parse(text).map(Some),
            None => self.text(key)?.map(|text| parse(&text).map_err(of(key))).transpose(),
        }
    }

    /// What options say, else the author's list; `parse` reads each.
    pub(crate) fn settings<T>(
        &self,
        options: &[String],
        key: &str,
        parse: impl Fn(&str) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        match options {
            [] => self.texts(key)?.iter().map(|text| parse(text).map_err(of(key))).collect(),
            _ => options.iter().map(|text| parse(text)).collect(),
        }
    }

    /// A list of strings.
    pub(crate) fn list(&self, key: &str) -> Result<Vec<String>, Error> {
        let wrong = || in_metadata(&format!("`{key}` must be a list of strings"));
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(wrong)?;
        list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    /// A string, or a list of them.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        match self.value(key) {
            Some(Value::Array(_)) => self.list(key),
            _ => Ok(self.text(key)?.into_iter().collect()),
        }
    }

    /// The table of environment variables.
    pub(crate) fn environment(&self) -> Result<Vec<(String, String)>, Error> {
        let wrong = || in_metadata("`env` must be a table of strings");
        let Some(value) = self.value("env") else { return Ok(Vec::new()) };
        let table = value.as_object().ok_or_else(wrong)?;
        let pair = |(name, value): (&String, &Value)| Ok((name.clone(), value.as_str().ok_or_else(wrong)?.to_owned()));
        table.iter().map(pair).collect()
    }
}

/// What is wrong with a value that nobody typed: whoever reads it looks for its place.
pub(crate) fn of(key: &str) -> impl Fn(Error) -> Error {
    move |error| {
        let located = in_metadata(&format!("`{key}`: {}", error.message()));
        error.cure().map_or(located.clone(), |cure| located.help(cure))
    }
}

fn in_metadata(why: &str) -> Error {
    Error::new(format!("cannot use [package.metadata.toro]: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_checked() {
        assert!(Metadata::new(Some(&json!({"memory": "8M", "cpus": 1}))).is_ok());
        let error = Metadata::new(Some(&json!({"memroy": "8M"}))).err().unwrap();
        assert!(error.message().contains("`memroy`") && error.cure().unwrap().contains("memory"));
        let metadata = json!({"publish": [80], "env": {"A": 1}, "memory": [1]});
        let metadata = Metadata::new(Some(&metadata)).unwrap();
        assert!(
            metadata.list("publish").is_err() && metadata.environment().is_err() && metadata.text("memory").is_err()
        );
    }
}
