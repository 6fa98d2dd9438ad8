//! What is typed about this host: images, settings and secrets.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List the images.
    Ls,
    /// Show an image: its prompt, its tools, what it says it needs.
    Show {
        /// Its name.
        image: String,
    },
    /// Register an image from a file or from the folder of a package. It grants nothing.
    #[command(after_help = "Examples:
  libos image register reviewer/            the folder of a package, with its image.toml
  libos image register reviewer.toml        one file, and what it names beside it
  libos image register reviewer/ --replace  in place of the one of the same name")]
    Register {
        /// An `image.toml`, or the folder that holds one.
        path: PathBuf,
        /// Replace the image of the same name.
        #[arg(long)]
        replace: bool,
    },
    /// Remove an image. Processes made from it go on, without tools.
    Unregister {
        /// Its name.
        image: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// List the secrets: where each value comes from and where it may go, never the value.
    Ls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, its value and where it was set.
    Show {
        /// Every limit of every part too, with its default, its unit and its reason.
        #[arg(long)]
        all: bool,
    },
    /// Show which files are looked at, the lowest first.
    Path,
    /// Write a `libos.toml` with every key and its default, as comments.
    Init {
        /// Write the user's file instead of the one of this folder.
        #[arg(long)]
        user: bool,
    },
}
