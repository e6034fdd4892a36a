// node websocket.js PORT: a WebSocket echo with npm's ws.
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), perMessageDeflate: false });
server.on('connection', (peer) => {
  peer.on('message', (message, isBinary) => peer.send(message, { binary: isBinary }));
});
