"""The same endpoint with FastAPI, uvicorn, asyncpg and PyJWT from Debian's packages.

Generous on purpose: uvloop and httptools where they are installed, prepared statements, no access
log, a cache of verified tokens, and plain strings and floats in the response model.
"""

import base64
import json
import sys
import time
from typing import List, Optional

import asyncpg
import jwt
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Query
from pydantic import BaseModel

config = json.loads(sys.argv[1])
app = FastAPI()
keys = jwt.PyJWKClient(config["jwksUri"])
verified = {}
pool = None


class Order(BaseModel):
    id: str
    item: str
    total: float
    createdAt: str


class OrderPage(BaseModel):
    orders: List[Order]
    nextCursor: Optional[str]


@app.on_event("startup")
async def open_pool():
    global pool
    pool = await asyncpg.create_pool(
        config["databaseUrl"],
        min_size=config["poolSize"],
        max_size=config["poolSize"],
        server_settings={"application_name": config["applicationName"], "timezone": "UTC"},
    )


@app.get("/health/live")
async def live():
    return {"status": "ok"}


async def current_user(authorization: str = Header("")):
    if not authorization.startswith("Bearer "):
        raise HTTPException(401, "token_invalid")
    token = authorization[7:]
    known = verified.get(token)
    if known is not None and known[1] > time.time():
        return known[0]
    try:
        claims = jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token).key,
            algorithms=["RS256"],
            audience=config["audience"],
            issuer=config["issuer"],
        )
    except jwt.PyJWTError as error:
        raise HTTPException(401, "token_invalid") from error
    user_id = await pool.fetchval(
        "select user_id from identities where issuer = $1 and subject = $2",
        claims["iss"],
        claims["sub"],
    )
    if user_id is None:
        raise HTTPException(401, "token_invalid")
    if len(verified) >= 10_000:
        verified.clear()
    verified[token] = (user_id, claims["exp"])
    return user_id


@app.get("/auth/orders", response_model=OrderPage)
async def list_orders(limit: int = Query(50, ge=1, le=200), user_id=Depends(current_user)):
    rows = await pool.fetch(
        "select id, item, total, created_at from orders where user_id = $1"
        " order by created_at desc, id desc limit $2",
        user_id,
        limit + 1,
    )
    orders = [
        {
            "id": str(row["id"]),
            "item": row["item"],
            "total": float(row["total"]),
            "createdAt": row["created_at"].strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{row['created_at'].microsecond // 1000:03d}Z",
        }
        for row in rows[:limit]
    ]
    return {"orders": orders, "nextCursor": encode_cursor(orders[-1]) if len(rows) > limit else None}


def encode_cursor(order):
    text = f"{order['createdAt']} {order['id']}"
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=config["port"],
        access_log=False,
        log_level="warning",
    )
