// The camera of a sheet: on only while the sheet is in sight.
import { make } from "./dom.js";
import { UserError } from "./server.js";

// `video` shows what it sees. Returns {isOn(), start(isWanted), picture(), stop()}.
export const cameraOf = (video) => {
  let stream = null;
  let asking = false; // whether the visitor is being asked

  const stopTracks = (one) => one.getTracks().forEach((track) => track.stop());

  return {
    isOn: () => stream !== null,
    // Whether it is on now; it is not where nobody wants it any more once the visitor has allowed it.
    start: async (isWanted) => {
      if (asking) return false; // a second press must open no second camera
      asking = true;
      let opened;
      try {
        opened = await navigator.mediaDevices.getUserMedia({
          video: { facingMode: "environment" },
        });
      } catch {
        if (isWanted()) throw new UserError("No camera can be used here; upload a picture instead.");
        return false;
      } finally {
        asking = false;
      }
      if (!isWanted()) {
        stopTracks(opened);
        return false;
      }
      stream = opened;
      video.srcObject = stream;
      video.hidden = false;
      video.play().catch(() => {}); // it may be stopped before its first frame
      return true;
    },
    // A data URL; null before the first frame.
    picture: () => {
      if (!video.videoWidth) return null;
      const shot = make("canvas", {
        width: video.videoWidth,
        height: video.videoHeight,
      });
      shot.getContext("2d").drawImage(video, 0, 0);
      return shot.toDataURL("image/jpeg", 0.93);
    },
    stop: () => {
      if (stream) stopTracks(stream);
      stream = null;
      video.srcObject = null;
      video.hidden = true;
    },
  };
};
