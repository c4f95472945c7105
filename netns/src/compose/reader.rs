//! Collects what is wrong while a file is read, so that one run reports every error of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::diagnostic::{Diagnostic, Source, Span};
use super::nearest::nearest;
use super::node::Node;
use super::parse;

/// What reading needs to know and what it leaves behind.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a [Source],
    /// The variables, `.env` included.
    pub(super) env: &'a BTreeMap<String, String>,
    /// What relative paths start from.
    pub(super) dir: &'a Path,
    /// Whether it is read to write the Swarm file: what the raw way alone cannot do is no error then.
    pub(super) for_swarm: bool,
    /// The services that are on.
    pub(super) services: BTreeSet<String>,
    /// The services that are off, because none of their profiles is on.
    pub(super) off: BTreeMap<String, Vec<String>>,
    /// Ports published so far.
    pub(super) published: usize,
    /// What is wrong so far.
    pub(super) found: Vec<(Span, Diagnostic)>,
    /// What is only worth a word.
    pub(super) warned: Vec<Diagnostic>,
    /// Places that later checks name: `subnet:<network>`, `address:<service>`, `depends:<service>:<other>`.
    pub(super) places: BTreeMap<String, Span>,
}

/// Most errors of a file that are told: nobody reads more at once.
const MOST_ERRORS: usize = 50;

impl<'a> Reader<'a> {
    /// For these files, with nothing read yet.
    pub(super) fn new(
        sources: &'a [Source],
        dir: &'a Path,
        env: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            sources,
            env,
            dir,
            for_swarm: false,
            services: BTreeSet::new(),
            off: BTreeMap::new(),
            published: 0,
            found: Vec::new(),
            warned: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// The files laid on top of each other, their variables left as they are; none when one is no YAML.
    pub(super) fn merged(&mut self) -> Option<Node> {
        let mut merged: Option<Node> = None;
        for (source, index) in self.sources.iter().zip(0_u16..) {
            match parse::parse(index, &source.text) {
                Ok(node) => match &mut merged {
                    Some(base) => base.merge(node),
                    None => merged = Some(node),
                },
                Err(malformed) => self.error(malformed.at, malformed.message, "correct the YAML"),
            }
        }
        merged.filter(|_| self.found.is_empty())
    }

    /// What was wrong, in the order of the files.
    pub(super) fn ended(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(at, _)| *at);
        self.found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()
    }
}

impl Reader<'_> {
    /// Notes something that is only worth a word.
    pub(super) fn warn(&mut self, at: Span, message: impl Into<String>, remedy: impl Into<String>) {
        let diagnostic = Diagnostic::new(self.sources, at, message, remedy);
        if self.warned.len() < MOST_ERRORS && !self.warned.contains(&diagnostic) {
            self.warned.push(diagnostic);
        }
    }

    /// Notes, once for each variable, that it is not set.
    pub(super) fn unset(&mut self, sources: &[Source], at: Span, name: &str) {
        let message = format!("the variable `{name}` is not set");
        if self.warned.len() < MOST_ERRORS
            && !self.warned.iter().any(|other| other.message == message)
        {
            let remedy = "an empty text takes its place";
            self.warned
                .push(Diagnostic::new(sources, at, message, remedy));
        }
    }

    /// Notes an error.
    pub(super) fn error(
        &mut self,
        at: Span,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if self.found.len() >= MOST_ERRORS {
            return;
        }
        let diagnostic = Diagnostic::new(self.sources, at, message, remedy);
        // An anchor that is used three times is read three times, but wrong once.
        if !self.found.iter().any(|(_, other)| *other == diagnostic) {
            self.found.push((at, diagnostic));
        }
    }

    /// `file:line` of a place, for messages that name a second one.
    pub(super) fn line(&self, at: Span) -> String {
        match self.sources.get(usize::from(at.file)) {
            Some(source) if self.sources.len() > 1 => {
                format!("{}:{}", source.path.display(), at.line)
            }
            _ => format!("line {}", at.line),
        }
    }

    /// Whether the name is that of a service that is on; said otherwise, `what` being what names it.
    pub(super) fn is_service(&mut self, at: Span, name: &str, what: &str) -> bool {
        if self.services.contains(name) {
            return true;
        }
        if self.off.contains_key(name) {
            self.error(
                at,
                format!("{what} `{name}`, whose profiles are off"),
                "turn one on: --profile NAME, or COMPOSE_PROFILES=NAME",
            );
            return false;
        }
        let known: Vec<&str> = self.services.iter().map(String::as_str).collect();
        let remedy = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the services are {}", known.join(", ")),
        };
        self.error(at, format!("{what} `{name}`, which is no service"), remedy);
        false
    }
}
