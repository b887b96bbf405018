// The one camera of this page.

let stream = null;
let users = 0;

const REASONS = {
  NotAllowedError: "The camera is blocked. Allow it with the camera sign beside the address, or choose pictures instead.",
  NotFoundError: "This device has no camera. Choose pictures instead.",
  NotReadableError: "Another program uses the camera. Close it there, or choose pictures instead.",
};

/** Start the camera and show it in a video element; an error says how to allow it. */
export async function openCamera(video) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers allow the camera on https and on this machine only. Choose pictures instead.");
  }
  users += 1;
  try {
    stream ??= await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 960 } } });
  } catch (error) {
    users -= 1;
    throw new Error(REASONS[error.name] ?? `The camera does not start (${error.name}). Choose pictures instead.`);
  }
  video.srcObject = stream;
  await video.play();
}

/** Let go of the camera; it goes off when nobody shows it. */
export function closeCamera(video) {
  if (!video.srcObject) return;
  video.srcObject = null;
  users -= 1;
  if (users === 0 && stream) {
    stream.getTracks().forEach((track) => track.stop());
    stream = null;
  }
}

/** Return what the camera shows as a JPEG, its shorter side at most 480 pixels. */
export function takeFrame(video) {
  const scale = Math.min(1, 480 / Math.min(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", 0.9); });
}
