"""A desktop in the browser (VNC over websockets) moves from websockify to websocketd."""
