//! One tree laid on another: several files, and `extends`.

use super::node::{Key, Node, Value};

impl Node {
    /// Lays `over` on top, as Compose merges files: mappings key by key, lists one after the other, anything else replaced; what
    /// a program is told to run (`command`, `entrypoint`, a check's `test`) and a network's address plan (`config`) are replaced whole.
    pub(super) fn merge(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Map(base), Value::Map(entries)) => {
                for (key, mut value) in entries {
                    if key.name == "environment" {
                        value.assignments();
                        base.iter_mut()
                            .filter(|(other, _)| other.name == key.name)
                            .for_each(|(_, old)| old.assignments());
                    }
                    match base.iter_mut().find(|(other, _)| other.name == key.name) {
                        Some((_, old))
                            if !matches!(
                                key.name.as_str(),
                                "command" | "entrypoint" | "test" | "config"
                            ) =>
                        {
                            old.merge(value);
                        }
                        Some((_, old)) => *old = value,
                        None => base.push((key, value)),
                    }
                }
            }
            (Value::List(base), Value::List(items)) => base.extend(items),
            (base, value) => {
                *base = value;
                self.at = over.at;
            }
        }
    }

    /// Turns a list of `NAME=value` into the mapping it stands for.
    fn assignments(&mut self) {
        let Value::List(items) = &mut self.value else {
            return;
        };
        if !items
            .iter()
            .all(|item| matches!(item.value, Value::Scalar(_)))
        {
            return;
        }
        let mut entries: Vec<(Key, Self)> = Vec::new();
        for item in std::mem::take(items) {
            let at = item.at;
            let Value::Scalar(text) = item.value else {
                continue;
            };
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Value::Scalar(value.to_owned())),
                None => (text.as_str(), Value::Null),
            };
            let name = name.to_owned();
            entries.retain(|(key, _)| key.name != name);
            entries.push((Key { at, name }, Self { at, value }));
        }
        self.value = Value::Map(entries);
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::tests::show;
    use super::super::parse::parse;

    #[test]
    fn a_second_file_is_laid_on_top() {
        let mut base = parse(0, "s: {ports: [1], command: [a, b], image: x}")
            .ok()
            .unwrap();
        base.merge(
            parse(1, "s: {ports: [2], command: [c], user: y}")
                .ok()
                .unwrap(),
        );
        assert_eq!(
            show(&base),
            "{1:1 s: {1:5 ports: [1:13 1, 1:13 2], 1:17 command: [1:27 c], 1:34 image: 1:41 x, 1:31 user: 1:37 y}}"
        );
    }
}
