//! TypeScript to JavaScript: the types go, the places stay known.
//!
//! Owns what happens outside of the sandbox to a source that an agent wrote. So the source is
//! bounded and looked at by [`guard`](super::guard) first, and the parser, which recurses, gets a
//! thread whose stack fits the longest nesting that the source can still hold.

use std::path::Path;

use oxc::{
    allocator::Allocator,
    codegen::{Codegen, CodegenOptions, CodegenReturn, CommentOptions},
    diagnostics::OxcDiagnostic,
    parser::Parser,
    semantic::SemanticBuilder,
    span::SourceType,
    transformer::{TransformOptions, Transformer},
};

use super::{
    guard::{self, Refused},
    positions::{Mapping, Positions},
};
use crate::{CompileError, Limits, Position};

/// The stack that parsing takes whatever the source is.
const STACK_BYTES: usize = 8 << 20;
/// The stack that each byte of a source can take: twice what was measured for prefix operators,
/// the densest recursion that brackets do not bound, in a build without optimisation.
const STACK_BYTES_PER_BYTE: usize = 1 << 10;

/// A script without types.
#[derive(Debug)]
pub(crate) struct Stripped {
    pub(crate) script: String,
    pub(crate) positions: Positions,
}

/// The stack that stripping a source needs.
pub(crate) fn stack_bytes(source: &str) -> usize {
    STACK_BYTES + source.len() * STACK_BYTES_PER_BYTE
}

/// Strips the types of a source.
pub(crate) fn strip(source: &str, limits: &Limits) -> Result<Stripped, CompileError> {
    guard::check(source, limits.typescript_depth_max, limits.typescript_angles_max)
        .map_err(|Refused { at, why }| syntax(source, Some(at), why.to_owned()))?;
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::ts().with_module(true)).parse();
    sound(source, parsed.diagnostics.errors().next())?;
    let mut program = parsed.program;
    let semantic = SemanticBuilder::new()
        .with_check_syntax_error(true)
        .with_enum_eval(true)
        .with_excess_capacity(2.0)
        .build(&program);
    sound(source, semantic.diagnostics.errors().next())?;
    let scoping = semantic.semantic.into_scoping();
    let mut options = TransformOptions::default();
    // An import of more than types is refused, used or not.
    options.typescript.only_remove_type_imports = true;
    let transformer = Transformer::new(&allocator, Path::new("tool.ts"), &options);
    let transformed = transformer.build_with_scoping(scoping, &mut program);
    sound(source, transformed.diagnostics.errors().next())?;
    let options = CodegenOptions {
        comments: CommentOptions::disabled(),
        // Indentation would grow with the square of the nesting.
        indent_width: 0,
        source_map_path: Some("tool.ts".into()),
        ..CodegenOptions::default()
    };
    let CodegenReturn { code, map, .. } = Codegen::new().with_options(options).build(&program);
    let tokens = map.iter().flat_map(|map| map.get_tokens());
    let mappings = tokens.map(|token| Mapping {
        line: token.get_dst_line(),
        column: token.get_dst_col(),
        source_line: token.get_src_line(),
        source_column: token.get_src_col(),
    });
    Ok(Stripped { script: code, positions: Positions::new(mappings.collect()) })
}

/// Fails with the first thing that is wrong.
fn sound(source: &str, error: Option<&OxcDiagnostic>) -> Result<(), CompileError> {
    let Some(error) = error else {
        return Ok(());
    };
    let at = error.labels.first().and_then(|label| usize::try_from(label.offset()).ok());
    let help = error.help.as_ref().map(|help| format!(": {help}")).unwrap_or_default();
    Err(syntax(source, at, format!("{}{help}", error.message)))
}

fn syntax(source: &str, at: Option<usize>, message: String) -> CompileError {
    CompileError::Syntax { at: at.map(|at| position(source, at)), message }
}

/// The place of a byte.
fn position(source: &str, at: usize) -> Position {
    let before = &source[..source.floor_char_boundary(at)];
    let (line, last) = before.split('\n').enumerate().last().unwrap_or((0, ""));
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
    Position { line: number(line), column: number(last.chars().count()) }
}
