//! [`Serve`] as a `tower` service: it mounts in axum (`route_service`), lambda_http (`run`) and workers-rs.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tower_service::Service;

use crate::serve::{REQUEST_BYTES_MAX, Serve, problem};

impl<B> Service<Request<B>> for Serve
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let serve = self.clone();
        async move {
            let (parts, body) = request.into_parts();
            let response = match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
                Ok(body) => serve.answer(Request::from_parts(parts, body.to_bytes())).await,
                Err(error) if error.is::<LengthLimitError>() => problem(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the most is 16 MiB"),
                Err(error) => problem(StatusCode::BAD_REQUEST, "invalid-request", &error.to_string()),
            };
            Ok(response.map(Full::new))
        }
        .boxed()
    }
}
