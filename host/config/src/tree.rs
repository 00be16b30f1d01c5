//! Values that know where they were written.

use crate::place::{Place, steps};
use litemap::LiteMap;
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Where the key stands; the value's place for what has none.
    pub(crate) key: Place,
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

pub(crate) type Table = LiteMap<String, Node>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    /// In order of keys. A sorted list: there are thousands of tables with a key or two.
    Table(Table),
}

impl Kind {
    /// A table of one entry.
    pub(crate) fn of(key: String, node: Node) -> Self {
        Kind::Table([(key, node)].into_iter().collect())
    }
}

impl Node {
    pub(crate) fn table(place: Place) -> Self {
        Node { key: place.clone(), place, kind: Kind::Table(Table::new()) }
    }

    /// Everything of it, at one place.
    pub(crate) fn from_value(place: &Place, value: Value) -> Self {
        let kind = match value {
            Value::Array(items) => Kind::List(items.into_iter().map(|item| Node::from_value(place, item)).collect()),
            Value::Object(map) => {
                Kind::Table(map.into_iter().map(|(key, value)| (key, Node::from_value(place, value))).collect())
            }
            scalar => Kind::Scalar(scalar),
        };
        Node { key: place.clone(), place: place.clone(), kind }
    }

    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Kind::Table(entries) => {
                Value::Object(entries.iter().map(|(k, v)| (k.clone(), v.to_value())).collect::<Map<_, _>>())
            }
        }
    }

    /// Lays `over` on top: tables merge by key, anything else replaces.
    pub(crate) fn merge(&mut self, over: Node) {
        match (&mut self.kind, over.kind) {
            (Kind::Table(mine), Kind::Table(theirs)) => {
                for (key, node) in theirs {
                    match mine.get_mut(&key) {
                        Some(below) => below.merge(node),
                        None => {
                            mine.insert(key, node);
                        }
                    }
                }
            }
            (mine, theirs) => *mine = theirs,
        }
        self.key = over.key;
        self.place = over.place;
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        let entries = if let Kind::Table(entries) = &self.kind { Some(entries) } else { None };
        entries.into_iter().flat_map(Table::iter).map(|(key, node)| (key.as_str(), node))
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = &Node> {
        let items = if let Kind::List(items) = &self.kind { Some(items) } else { None };
        items.into_iter().flatten()
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Kind::Scalar(Value::String(text)) = &self.kind { Some(text) } else { None }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Table(entries) => entries.get(key),
            Kind::List(items) => items.get(key.parse::<usize>().ok()?),
            Kind::Scalar(_) => None,
        }
    }

    /// The node at a JSON Pointer.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Node> {
        steps(pointer).try_fold(self, |node, step| node.get(&step))
    }

    pub(crate) fn at_mut(&mut self, pointer: &str) -> Option<&mut Node> {
        steps(pointer).try_fold(self, |node, step| match &mut node.kind {
            Kind::Table(entries) => entries.get_mut(step.as_str()),
            Kind::List(items) => items.get_mut(step.parse::<usize>().ok()?),
            Kind::Scalar(_) => None,
        })
    }

    /// Takes away what stands at the pointer, in a table.
    pub(crate) fn forget(&mut self, pointer: &str) {
        let Some((before, _)) = pointer.rsplit_once('/') else { return };
        let Some(last) = steps(pointer).last() else { return };
        if let Some(Node { kind: Kind::Table(entries), .. }) = self.at_mut(before) {
            entries.remove(last.as_str());
        }
    }

    /// The node at the pointer, or the innermost one around it.
    pub(crate) fn around(&self, pointer: &str) -> &Node {
        let mut node = self;
        for step in steps(pointer) {
            match node.get(&step) {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node
    }
}

/// Where each value of a configuration was written.
#[derive(Clone, Debug)]
pub struct Places(pub(crate) Node);

impl Places {
    /// Where the value at this JSON Pointer was written. Absent: nowhere, its default holds.
    pub fn of(&self, pointer: &str) -> Option<&Place> {
        self.0.at(pointer).map(|node| &node.place)
    }

    /// Where the value at this JSON Pointer was written, or else the innermost one around it.
    pub fn around(&self, pointer: &str) -> &Place {
        &self.0.around(pointer).key
    }

    /// Whether everything at this JSON Pointer is built in, or defaults.
    pub fn is_built_in(&self, pointer: &str) -> bool {
        fn all(node: &Node) -> bool {
            node.place == Place::Default && node.entries().all(|(_, inner)| all(inner)) && node.items().all(all)
        }
        self.0.at(pointer).is_none_or(all)
    }
}
