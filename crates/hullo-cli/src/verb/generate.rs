//! Completions and the man page, made from the words of the command.

use std::process::ExitCode;

use clap::CommandFactory;
use hullo::{Error, Result};

use crate::args::Args;

pub(super) fn completions(shell: clap_complete::Shell) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "hullo", &mut text);
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// One page for all verbs: the command's own, then a section for each verb.
pub(super) fn man() -> Result<ExitCode> {
    let mut command = Args::command();
    command.build();
    let mut page = Vec::new();
    let wrong = |error| Error::io("cannot write the man page", error);
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(wrong)?;
    for verb in command.get_subcommands() {
        let man = clap_mangen::Man::new(verb.clone());
        page.extend_from_slice(format!(".SH \"HULLO {}\"\n", verb.get_name().to_uppercase()).as_bytes());
        page.extend_from_slice(
            format!("{}\n.PP\n", verb.get_about().map(ToString::to_string).unwrap_or_default()).as_bytes(),
        );
        man.render_synopsis_section(&mut page).map_err(wrong)?;
        man.render_options_section(&mut page).map_err(wrong)?;
        man.render_extra_section(&mut page).map_err(wrong)?;
    }
    super::print(&page)?;
    Ok(ExitCode::SUCCESS)
}
