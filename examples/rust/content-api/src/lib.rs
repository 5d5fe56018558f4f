//! The gRPC interface of content-service, generated from `proto/content.proto`.
#![allow(missing_docs)] // generated

tonic::include_proto!("content.v1");
