//! How a list is printed: the options that all lists share.

use clap::{Args, ValueEnum};

/// `--format`, `--json`
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Output {
    /// How to print it: table or json
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "table",
        hide_possible_values = true
    )]
    format: Format,
    /// The same as --format json
    #[arg(long)]
    json: bool,
}

/// Forms of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For scripts
    Json,
}

impl Output {
    /// Whether it is for scripts.
    pub(super) fn is_json(self) -> bool {
        self.json || self.format == Format::Json
    }
}
