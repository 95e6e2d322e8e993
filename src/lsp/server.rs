//! The server: initialization, capabilities and dispatch of requests.

use super::actions::{self, FIX_ALL};
use super::completion::{Abilities, completion};
use super::diagnostics::diagnostics;
use super::document::{Columns, Document, path_of};
use super::{formatting, hover, navigation, rename, symbols};
use crate::lint::Files;
use crate::plan::bundle::Definitions;
use crate::template::Template;
use lsp_server::{Connection, ErrorCode, Message, Notification, ProtocolError, Request, RequestId, Response};
use lsp_types::notification::Notification as _;
use lsp_types::request::Request as _;
use lsp_types::*;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The server's access to bundle definitions and host files.
pub(crate) struct Knowledge<'a> {
    pub definitions: &'a Definitions,
    /// Returns facts about the files that a template refers to. Relative paths are resolved against the directory.
    pub files: &'a dyn Fn(&Template, Option<&Path>) -> Files,
    /// The directory of the workspace, where `ister build` would be run.
    pub root: Option<PathBuf>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client sent `shutdown` before `exit`.
    Goodbye,
    /// The client sent only `exit`, or closed the connection.
    Abrupt,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("the client violated the protocol")]
    Protocol(#[from] ProtocolError),
    #[error("the client sent an invalid message")]
    Message(#[from] serde_json::Error),
    #[error("the client closed the connection")]
    Gone,
}

/// Serves one client until it disconnects.
pub(crate) fn serve(connection: &Connection, mut known: Knowledge) -> Result<End, ServerError> {
    let (id, params) = connection.initialize_start()?;
    let params: InitializeParams = serde_json::from_value(params)?;
    let columns = columns(&params);
    if known.root.is_none() {
        known.root = root(&params);
    }
    let answer = serde_json::json!({
        "capabilities": capabilities(columns),
        "serverInfo": { "name": "ister", "version": env!("CARGO_PKG_VERSION") },
    });
    connection.initialize_finish(id, answer)?;
    let item = params
        .capabilities
        .text_document
        .as_ref()
        .and_then(|t| t.completion.as_ref()?.completion_item.clone());
    let abilities = Abilities { snippets: item.and_then(|i| i.snippet_support).unwrap_or(false) };
    let mut server = Server { documents: BTreeMap::new(), known, columns, abilities };
    let mut end = End::Abrupt;
    for message in &connection.receiver {
        let answers = match message {
            Message::Request(request) if end == End::Goodbye => {
                let message = "the server is shutting down".to_owned();
                vec![Message::Response(error_response(
                    request.id,
                    RequestError { code: ErrorCode::InvalidRequest, message },
                ))]
            }
            Message::Request(request) if request.method == request::Shutdown::METHOD => {
                end = End::Goodbye;
                vec![Message::Response(Response::new_ok(request.id, ()))]
            }
            Message::Request(request) => vec![Message::Response(server.request(request))],
            Message::Notification(note) if note.method == notification::Exit::METHOD => return Ok(end),
            Message::Notification(note) => server.notification(note),
            // The server sends no requests, so it expects no responses.
            Message::Response(_) => Vec::new(),
        };
        for answer in answers {
            connection.sender.send(answer).map_err(|_| ServerError::Gone)?;
        }
    }
    Ok(end)
}

/// UTF-8 if the client supports it, else UTF-16, which every client must support.
fn columns(params: &InitializeParams) -> Columns {
    let offered = params
        .capabilities
        .general
        .as_ref()
        .and_then(|g| g.position_encodings.as_deref())
        .unwrap_or_default();
    if offered.contains(&PositionEncodingKind::UTF8) { Columns::Utf8 } else { Columns::Utf16 }
}

fn root(params: &InitializeParams) -> Option<PathBuf> {
    #[expect(deprecated, reason = "older clients only send this field")]
    let old = params.root_uri.as_ref();
    let directory = params
        .workspace_folders
        .as_ref()
        .and_then(|directories| directories.first())
        .map(|directory| &directory.uri);
    path_of(directory.or(old)?)
}

fn capabilities(columns: Columns) -> ServerCapabilities {
    let text_sync = TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(TextDocumentSyncKind::INCREMENTAL),
        ..TextDocumentSyncOptions::default()
    };
    ServerCapabilities {
        position_encoding: Some(match columns {
            Columns::Utf8 => PositionEncodingKind::UTF8,
            Columns::Utf16 => PositionEncodingKind::UTF16,
        }),
        text_document_sync: Some(TextDocumentSyncCapability::Options(text_sync)),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some(vec!["\"".to_owned(), ":".to_owned()]),
            ..CompletionOptions::default()
        }),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, FIX_ALL]),
            ..CodeActionOptions::default()
        })),
        document_symbol_provider: Some(OneOf::Left(true)),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        rename_provider: Some(OneOf::Right(RenameOptions {
            prepare_provider: Some(true),
            work_done_progress_options: WorkDoneProgressOptions::default(),
        })),
        document_formatting_provider: Some(OneOf::Left(true)),
        ..ServerCapabilities::default()
    }
}

struct Server<'a> {
    documents: BTreeMap<String, Document>,
    known: Knowledge<'a>,
    columns: Columns,
    abilities: Abilities,
}

/// An error response.
struct RequestError {
    code: ErrorCode,
    message: String,
}

impl RequestError {
    fn failed(message: String) -> RequestError {
        RequestError { code: ErrorCode::RequestFailed, message }
    }
}

impl Server<'_> {
    fn request(&self, request: Request) -> Response {
        let id = request.id.clone();
        // Catch panics, so that a bug in one request does not end the session.
        let answer = catch_unwind(AssertUnwindSafe(|| self.answer(request))).unwrap_or_else(|_| {
            Err(RequestError { code: ErrorCode::InternalError, message: "internal error".to_owned() })
        });
        match answer {
            Ok(result) => Response::new_ok(id, result),
            Err(error) => error_response(id, error),
        }
    }

    fn answer(&self, request: Request) -> Result<serde_json::Value, RequestError> {
        let Request { method, params, .. } = request;
        match method.as_str() {
            request::HoverRequest::METHOD => {
                let params: HoverParams = read(params)?;
                let at = params.text_document_position_params;
                self.at(&at.text_document, |document| hover::hover(document, at.position, &self.known))
            }
            request::Completion::METHOD => {
                let params: CompletionParams = read(params)?;
                let at = params.text_document_position;
                self.at(&at.text_document, |document| {
                    completion(document, at.position, self.abilities, &self.known)
                })
            }
            request::CodeActionRequest::METHOD => {
                let params: CodeActionParams = read(params)?;
                self.at(&params.text_document, |document| actions::actions(document, &params, &self.known))
            }
            request::DocumentSymbolRequest::METHOD => {
                let params: DocumentSymbolParams = read(params)?;
                self.at(&params.text_document, symbols::symbols)
            }
            request::GotoDefinition::METHOD => {
                let params: GotoDefinitionParams = read(params)?;
                let at = params.text_document_position_params;
                self.at(&at.text_document, |document| navigation::definition(document, at.position))
            }
            request::References::METHOD => {
                let params: ReferenceParams = read(params)?;
                let at = params.text_document_position;
                let declaration = params.context.include_declaration;
                self.at(&at.text_document, |document| {
                    navigation::references(document, at.position, declaration)
                })
            }
            request::PrepareRenameRequest::METHOD => {
                let at: TextDocumentPositionParams = read(params)?;
                let document = self.document(&at.text_document)?;
                write(rename::prepare(document, at.position).map_err(RequestError::failed)?)
            }
            request::Rename::METHOD => {
                let params: RenameParams = read(params)?;
                let at = params.text_document_position;
                let document = self.document(&at.text_document)?;
                write(rename::rename(document, at.position, &params.new_name).map_err(RequestError::failed)?)
            }
            request::Formatting::METHOD => {
                let params: DocumentFormattingParams = read(params)?;
                self.at(&params.text_document, formatting::formatting)
            }
            _ => Err(RequestError {
                code: ErrorCode::MethodNotFound,
                message: format!("unsupported method `{method}`"),
            }),
        }
    }

    fn at<T: serde::Serialize>(
        &self,
        id: &TextDocumentIdentifier,
        answer: impl FnOnce(&Document) -> T,
    ) -> Result<serde_json::Value, RequestError> {
        write(answer(self.document(id)?))
    }

    fn document(&self, id: &TextDocumentIdentifier) -> Result<&Document, RequestError> {
        self.documents.get(id.uri.as_str()).ok_or_else(|| RequestError {
            code: ErrorCode::InvalidParams,
            message: format!("`{}` is not open", id.uri.as_str()),
        })
    }

    /// Handles a notification, and returns the messages to send. Invalid notifications are ignored, as the protocol
    /// requires.
    fn notification(&mut self, note: Notification) -> Vec<Message> {
        let changed = match note.method.as_str() {
            notification::DidOpenTextDocument::METHOD => {
                let Ok(params) = serde_json::from_value::<DidOpenTextDocumentParams>(note.params) else {
                    return Vec::new();
                };
                let item = params.text_document;
                let key = item.uri.as_str().to_owned();
                let document = Document::new(
                    item.uri,
                    item.version,
                    &item.language_id,
                    item.text,
                    self.columns,
                    &self.known,
                );
                self.documents.insert(key.clone(), document);
                key
            }
            notification::DidChangeTextDocument::METHOD => {
                let Ok(params) = serde_json::from_value::<DidChangeTextDocumentParams>(note.params) else {
                    return Vec::new();
                };
                let key = params.text_document.uri.as_str().to_owned();
                if let Some(document) = self.documents.get_mut(&key) {
                    document.change(params.text_document.version, params.content_changes, &self.known);
                }
                key
            }
            notification::DidCloseTextDocument::METHOD => {
                let Ok(params) = serde_json::from_value::<DidCloseTextDocumentParams>(note.params) else {
                    return Vec::new();
                };
                let uri = params.text_document.uri;
                self.documents.remove(uri.as_str());
                // Clear the diagnostics of the closed document.
                return vec![publish(PublishDiagnosticsParams {
                    uri,
                    diagnostics: Vec::new(),
                    version: None,
                })];
            }
            _ => return Vec::new(),
        };
        self.documents.get(&changed).map(|document| publish(diagnostics(document))).into_iter().collect()
    }
}

fn publish(params: PublishDiagnosticsParams) -> Message {
    Message::Notification(Notification::new(notification::PublishDiagnostics::METHOD.to_owned(), params))
}

fn read<T: DeserializeOwned>(params: serde_json::Value) -> Result<T, RequestError> {
    serde_json::from_value(params)
        .map_err(|error| RequestError { code: ErrorCode::InvalidParams, message: error.to_string() })
}

fn write<T: serde::Serialize>(value: T) -> Result<serde_json::Value, RequestError> {
    serde_json::to_value(value)
        .map_err(|error| RequestError { code: ErrorCode::InternalError, message: error.to_string() })
}

fn error_response(id: RequestId, error: RequestError) -> Response {
    Response::new_err(id, error.code as i32, error.message)
}
