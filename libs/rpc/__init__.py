"""What all gRPC servers share: errors, status, interceptors, the server itself."""

from __future__ import annotations
