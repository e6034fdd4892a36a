//! The words of `hullo relay` for what a person sees of it.

use clap::Args as ClapArgs;
use hullo::options;

use crate::view::relay::page::View;

#[derive(ClapArgs)]
pub(crate) struct See {
    /// Show what is relayed: each piece with its time, connection, direction and size. VIEW is text, hex, json, http, or
    /// auto, which goes by what comes [without =VIEW auto]. It is on stdout, or on stderr where stdout is one end of the
    /// relay; with --json one object a line
    #[arg(long, value_name = "VIEW", num_args = 0..=1, require_equals = true, default_missing_value = "auto", value_enum, hide_possible_values = true)]
    pub(crate) inspect: Option<View>,

    /// How much of each piece --inspect shows, as in 100, 64K or off for all of it [default: 4K; of what auto shows as hex
    /// 256]
    #[arg(long, value_name = "SIZE", value_parser = most, requires = "inspect")]
    pub(crate) inspect_max: Option<usize>,

    /// Show a live table of connections with their rates, which is the default where stdin, stdout and stderr are a
    /// terminal and nothing else is to be shown there
    #[arg(long, conflicts_with = "inspect")]
    pub(crate) live: bool,

    /// Show no live table
    #[arg(long, conflicts_with = "live")]
    pub(crate) no_live: bool,
}

fn most(text: &str) -> Result<usize, String> {
    if text == "off" {
        return Ok(usize::MAX);
    }
    options::size(text).filter(|size| *size > 0).ok_or_else(|| "a size is written like 100, 64K or off".to_owned())
}
