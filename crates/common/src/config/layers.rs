//! The layers and how they are laid over each other.

use std::path::PathBuf;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value as FigmentValue};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::de::Node;
use super::error::{ConfigError, spelling};

/// Flat names that everybody expects, and the keys that they set.
pub const ALIASES: &[(&str, &str)] = &[
    ("DATABASE_URL", "database.url"),
    ("REDIS_URL", "redis.url"),
    ("SERVICE_REGISTRY", "registry.urls"),
    ("ADVERTISE_CIDR", "registry.advertise_cidr"),
    ("REGISTRY_TOKEN", "registry.token"),
];

/// The merged file and environment, not yet given a type.
#[derive(Debug)]
pub struct Layers {
    tree: serde_json::Map<String, Value>,
}

impl Layers {
    /// Reads `CONFIG_FILE` (if set) and the environment of this process; `known` are the top-level keys.
    pub fn from_process(known: &[&str]) -> Result<Self, ConfigError> {
        let file = std::env::var_os("CONFIG_FILE")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        let env =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut pairs = Vec::new();
        for (name, value) in env {
            match (value.into_string(), key_path(&name, known)) {
                (Ok(value), _) => pairs.push((name, value)),
                (Err(_), Some(path)) => return Err(ConfigError::new(&path, "is not UTF-8")),
                (Err(_), None) => {}
            }
        }
        Self::new(file, pairs, known)
    }

    /// The same from given parts.
    pub fn new(
        file: Option<PathBuf>,
        env: impl IntoIterator<Item = (String, String)>,
        known: &[&str],
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                let message = format!("{}: no such file", file.display());
                return Err(ConfigError {
                    key: "CONFIG_FILE".into(),
                    message,
                });
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let data = figment.merge(Environment::new(env, known)?).data();
        let file_error = |error: figment::Error| ConfigError {
            key: "CONFIG_FILE".into(),
            message: error.to_string(),
        };
        let dict = data
            .map_err(file_error)?
            .remove(&Profile::Default)
            .unwrap_or_default();
        let tree = match serde_json::to_value(&dict) {
            Ok(Value::Object(tree)) => tree,
            _ => serde_json::Map::new(),
        };
        if let Some(key) = tree
            .keys()
            .find(|key| !known.contains(&key.strip_suffix("_file").unwrap_or(key)))
        {
            return Err(ConfigError::new(key, "unknown key"));
        }
        Ok(Self { tree })
    }

    /// Reads the part of the tree that `C` has fields for.
    pub fn extract<C: DeserializeOwned>(&self) -> Result<C, ConfigError> {
        let fields = super::de::fields_of::<C>();
        let wanted = |key: &str| {
            fields.contains(&key) || fields.contains(&key.strip_suffix("_file").unwrap_or(key))
        };
        let part = self
            .tree
            .iter()
            .filter(|(key, _)| wanted(key))
            .map(|(key, value)| (key.clone(), value.clone()));
        C::deserialize(Node(Value::Object(part.collect()))).map_err(|error| ConfigError {
            key: spelling(&error.path()),
            message: error.message,
        })
    }
}

/// The dotted key that an environment variable sets, if it is one of ours.
fn key_path(name: &str, known: &[&str]) -> Option<String> {
    let (stem, suffix) = name
        .strip_suffix("_FILE")
        .map_or((name, ""), |stem| (stem, "_file"));
    if let Some((_, path)) = ALIASES.iter().find(|(alias, _)| *alias == stem) {
        let section = path.split('.').next().unwrap_or_default();
        return known.contains(&section).then(|| format!("{path}{suffix}"));
    }
    let path = name.to_lowercase().replace("__", ".");
    let top = path.split('.').next().unwrap_or_default();
    let ours = known.contains(&top)
        || top
            .strip_suffix("_file")
            .is_some_and(|top| known.contains(&top));
    // Only the conventional spelling counts: `http_proxy` and `http__listen` are not ours.
    (ours && name == name.to_uppercase()).then_some(path)
}

/// The environment as a figment provider that never interprets a value (figment's own parses `1` into a number).
struct Environment(Dict);

impl Environment {
    fn new(
        env: impl IntoIterator<Item = (String, String)>,
        known: &[&str],
    ) -> Result<Self, ConfigError> {
        let mut root = Dict::new();
        let mut pairs: Vec<_> = env
            .into_iter()
            .filter_map(|(name, value)| Some((key_path(&name, known)?, name, value)))
            .collect();
        pairs.sort();
        for (path, name, value) in pairs {
            let keys: Vec<&str> = path.split('.').collect();
            insert(&mut root, &keys, value)
                .map_err(|message| ConfigError { key: name, message })?;
        }
        Ok(Self(root))
    }
}

fn insert(dict: &mut Dict, keys: &[&str], value: String) -> Result<(), String> {
    match keys {
        [] => Err("is not a key".into()),
        [key] => match dict.insert((*key).to_owned(), FigmentValue::from(value)) {
            None => Ok(()),
            Some(_) => Err("the same key is set twice".into()),
        },
        [section, rest @ ..] => {
            match dict
                .entry((*section).to_owned())
                .or_insert_with(|| FigmentValue::from(Dict::new()))
            {
                FigmentValue::Dict(_, inner) => insert(inner, rest, value),
                _ => Err(format!(
                    "{} is a value and cannot have keys below it",
                    section.to_uppercase()
                )),
            }
        }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}
