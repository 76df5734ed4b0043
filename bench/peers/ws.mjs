// JSON-RPC by hand on the usual WebSocket library of Node.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
server.on("listening", () => {
  const { address, port } = server.address();
  process.stdout.write(`${address}:${port}\n`);
});
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    const { id, params } = JSON.parse(data);
    socket.send(JSON.stringify({ jsonrpc: "2.0", id, result: { text: params.text } }));
  });
});
